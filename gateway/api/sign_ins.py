"""Who is signed in, in Redis, so that every process knows and a sign-out counts at once.

    contox:sign-in:<SHA-256 of the cookie> := {"user", "stamp", "era", "until_ms"}; expires when it
                                              has been idle
    contox:sign-out:<user>                 := the user's era, made anew by signing out everywhere

A sign-in counts while its era is the user's, and its stamp the password's. An era outlives each
sign-in that was made in it.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from core.settings import Settings
from gateway.api.account_cache import ANSWER_S

TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


class SignIn(NamedTuple):
    """One sign-in that has neither ended nor been ended."""

    user_id: str
    stamp: str  # of the password that it was made with


class SignIns:
    """The sign-ins of all users. Calls raise one of QUEUE_ERRORS if Redis does not answer."""

    def __init__(
        self, queue: Redis, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._queue = queue
        self._idle_s = settings.sign_in_idle_s
        self._s_max = settings.sign_in_s_max
        self._clock = clock

    async def open(self, user_id: str, stamp: str) -> str:
        """A new sign-in; returns its token, which is kept nowhere."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        async with asyncio.timeout(ANSWER_S):
            era = await self._queue.getex(_era(user_id), ex=self._s_max + self._idle_s)
            content = {
                "user": user_id,
                "stamp": stamp,
                "era": _text(era),
                "until_ms": int(self._clock() * 1000) + self._s_max * 1000,
            }
            await self._queue.set(_name(token), orjson.dumps(content), ex=self._expiry_s())
        return token

    async def find(self, token: str) -> SignIn | None:
        """The sign-in with this token, which is not idle from now on; None if there is none."""
        if not TOKEN(token):
            return None
        async with asyncio.timeout(ANSWER_S):
            text = await self._queue.getex(_name(token), ex=self._expiry_s())
            if text is None:
                return None
            content: dict[str, Any] = orjson.loads(text)
            era = await self._queue.get(_era(content["user"]))
        same_era = content["era"] == _text(era)
        if not same_era or content["until_ms"] <= self._clock() * 1000:
            return None
        return SignIn(content["user"], content["stamp"])

    async def close(self, token: str) -> None:
        """End a sign-in, if there is one."""
        async with asyncio.timeout(ANSWER_S):
            await self._queue.delete(_name(token))

    async def close_all(self, user_id: str) -> None:
        """End all sign-ins of a user."""
        async with asyncio.timeout(ANSWER_S):
            era = secrets.token_urlsafe(TOKEN_BYTES)
            await self._queue.set(_era(user_id), era, ex=self._s_max + self._idle_s)

    def _expiry_s(self) -> int:
        return min(self._idle_s, self._s_max)


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _name(token: str) -> str:
    return f"contox:sign-in:{hashlib.sha256(token.encode()).hexdigest()}"


def _era(user_id: str) -> str:
    return f"contox:sign-out:{user_id}"
