"""API keys and users in Redis, between the requests and the store.

    contox:api-key:<sha256> := {"key": id, "user": id}, or {} for a key that is deleted
    contox:user:<id>        := {"email", "role", "status", "stamp", "version"}

Requirements  A key that is deleted, or whose user is disabled, is refused by every process from the
              moment on that this is answered; a load that began before must not undo it; keys of no
              account must not fill the memory.
Solution      No process keeps who is let in: each request asks Redis. A deletion puts {} there
              before it touches the store; a change of a user overwrites what is there after the
              store has it. A load only adds what is missing, and takes what it finds there. What
              does not exist is not kept in Redis; a process remembers the latest UNKNOWN_MAX keys
              of nobody for UNKNOWN_S: none of them can be anybody's later.
Cost          Two questions to Redis per request. While Redis is away nobody is let in: 503. A Redis
              that forgets its last write (a crash before its sync, a failover) may let a deleted
              key in for CACHED_S more.

A load takes at most LOAD_S, so that it is over long before what a change has put there expires.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from core.errors import Unavailable
from core.users import ACTIVE, ApiKeyStore, User, UserStore
from gateway.key_cache import PUT

ANSWER_S = 2.0
LOAD_S = 5.0
CACHED_S = 60
DELETED_S = 600
UNKNOWN_S = 5
UNKNOWN_MAX = 10_000
DELETED: dict[str, str] = {}


class Holder(NamedTuple):
    """What a key opens: its own id, and its user's."""

    key_id: str
    user_id: str


class Account(NamedTuple):
    """A user, as far as a request needs to know."""

    email: str
    role: str
    status: str
    stamp: str  # differs once the password is another

    @property
    def is_active(self) -> bool:
        """Whether the user may do anything."""
        return self.status == ACTIVE


class AccountCache:
    """What Redis and the store know. Calls raise one of QUEUE_ERRORS if Redis does not answer,
    Unavailable if the store does not."""

    def __init__(self, queue: Redis, users: UserStore, keys: ApiKeyStore) -> None:
        self._queue = queue
        self._users = users
        self._keys = keys
        self._unknown: dict[bytes, float] = {}  # digests, and until when: monotonic

    async def holder(self, sha256: bytes) -> Holder | None:
        """Who has the key with this digest; None: nobody, or nobody any more."""
        if self._unknown.get(sha256, 0) > time.monotonic():
            return None

        async def load() -> dict[str, str | int] | None:
            key = await self._keys.by_digest(sha256)
            return {"key": key.id, "user": key.user_id} if key else None

        content = await self._find(_of_key(sha256), load)
        if not content:
            self._remember_unknown(sha256)
            return None
        return Holder(content["key"], content["user"])

    async def account(self, user_id: str) -> Account | None:
        """The user with this id."""

        async def load() -> dict[str, str | int] | None:
            user = await self._users.find(user_id)
            return _account(user) if user else None

        content = await self._find(_of_user(user_id), load)
        return Account(*(content[name] for name in Account._fields)) if content else None

    async def refuse(self, sha256: bytes) -> None:
        """Before a key is deleted in the store: refuse it from now on."""
        async with asyncio.timeout(ANSWER_S):
            await self._queue.set(_of_key(sha256), orjson.dumps(DELETED), ex=DELETED_S)

    async def announce(self, user: User) -> None:
        """After a user was changed in the store: let every process know, unless they know of a
        later change."""
        content = orjson.dumps(_account(user))
        async with asyncio.timeout(ANSWER_S):
            await self._queue.eval(PUT, 1, _of_user(user.id), user.updated_ms, content, CACHED_S)

    def _remember_unknown(self, sha256: bytes) -> None:
        self._unknown.pop(sha256, None)
        while len(self._unknown) >= UNKNOWN_MAX:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[sha256] = time.monotonic() + UNKNOWN_S

    async def _find(
        self, name: str, load: Callable[[], Awaitable[dict[str, str | int] | None]]
    ) -> dict[str, Any] | None:
        async with asyncio.timeout(ANSWER_S):
            text = await self._queue.get(name)
        if text is None:
            try:
                async with asyncio.timeout(LOAD_S):
                    content = await load()
            except TimeoutError:
                raise Unavailable from None
            if content is None:
                return None
            async with asyncio.timeout(ANSWER_S):
                there = await self._queue.set(
                    name, orjson.dumps(content), ex=CACHED_S, nx=True, get=True
                )
            if not isinstance(there, bytes):  # nothing was there
                return content
            text = there
        found: dict[str, Any] = orjson.loads(text)
        return found


def stamp_of(password_hash: str) -> str:
    """What tells one password of a user from another, and tells nothing of either."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


def _account(user: User) -> dict[str, str | int]:
    return {
        "email": user.email,
        "role": user.role,
        "status": user.status,
        "stamp": stamp_of(user.password_hash),
        "version": user.updated_ms,
    }


def _of_key(sha256: bytes) -> str:
    return f"contox:api-key:{sha256.hex()}"


def _of_user(user_id: str) -> str:
    return f"contox:user:{user_id}"
