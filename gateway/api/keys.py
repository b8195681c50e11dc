"""A user's own API keys: GET, POST and DELETE /api/keys.

A key is shown once, when it is made. Deleting it answers 204 only when no process lets it in any
more: see account_cache.py.
"""

import os
import time
from typing import TypedDict

import msgspec
from aiohttp import web

from core.api_keys import ENTROPY_BYTES, digest_of, key_of, prefix_of
from core.errors import Reason, Rejected
from core.event import rfc_3339
from core.ids import ENTROPY_BYTES as ID_BYTES
from core.ids import key_id
from core.users import NAME_MAX, ApiKey, ApiKeyStore
from gateway.api.account_cache import AccountCache
from gateway.api.bodies import Name
from gateway.api.guard import Access, Asked, Guard, json_response
from runtime.log import get_log

log = get_log()
PATH = "/api/keys"
KEYS_MAX = 100  # per user


class NewKey(msgspec.Struct):
    """What a key is made from."""

    name: Name


class OldKey(msgspec.Struct, rename="camel"):
    """Which key is to be deleted."""

    key_id: str


class ShownKey(TypedDict):
    """A key as its owner sees it."""

    id: str
    name: str
    prefix: str
    lastUsed: str | None
    createdAt: str | None


class MadeKey(TypedDict):
    """A key that was just made; `key` is shown this once."""

    id: str
    name: str
    key: str
    createdAt: str | None


class Keys:
    """The handlers."""

    def __init__(self, keys: ApiKeyStore, accounts: AccountCache) -> None:
        self._keys = keys
        self._accounts = accounts

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", PATH, self._list, Access.USER, answer=list[ShownKey]),
            guard.route(
                "POST", PATH, self._create, Access.USER, body=NewKey, answer=MadeKey, status=201
            ),
            guard.route("DELETE", PATH, self._delete, Access.USER, body=OldKey, status=204),
        ]

    async def _list(self, asked: Asked) -> web.Response:
        return json_response([_public(key) for key in await self._keys.of_user(asked.user_id)])

    async def _create(self, asked: Asked) -> web.Response:
        name = (await asked.json(NewKey)).name.strip()
        if not name or len(name) > NAME_MAX or not name.isprintable():
            sentence = f"`name` must be 1 to {NAME_MAX} printable characters"
            raise Rejected(Reason.BAD_REQUEST, sentence)
        if len(await self._keys.of_user(asked.user_id)) >= KEYS_MAX:
            sentence = f"A user has at most {KEYS_MAX} keys; delete one first"
            raise Rejected(Reason.CONFLICT, sentence)
        text, key = new_key(asked.user_id, name, int(time.time() * 1000))
        await self._keys.add(key)
        log.info("API key made", key=key.id, user=key.user_id)
        content: MadeKey = {
            "id": key.id,
            "name": name,
            "key": text,
            "createdAt": _time(key.created_ms),
        }
        return json_response(content, status=201)

    async def _delete(self, asked: Asked) -> web.Response:
        wanted = await asked.json(OldKey)
        own = {key.id: key for key in await self._keys.of_user(asked.user_id)}
        if (key := own.get(wanted.key_id)) is None:
            raise Rejected(Reason.NOT_FOUND, "There is no such key")
        await self._accounts.refuse(key.sha256)
        await self._keys.delete(key.id)
        log.info("API key deleted", key=key.id, user=key.user_id)
        return web.Response(status=204)


def new_key(user_id: str, name: str, now_ms: int) -> tuple[str, ApiKey]:
    """A new key's text, which is shown once, and what is kept of it."""
    text = key_of(os.urandom(ENTROPY_BYTES))
    identity = key_id(now_ms, os.urandom(ID_BYTES))
    return text, ApiKey(identity, user_id, name, digest_of(text), prefix_of(text), now_ms)


def _public(key: ApiKey) -> ShownKey:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix + "...",
        "lastUsed": _time(key.last_used_ms),
        "createdAt": _time(key.created_ms),
    }


def _time(time_ms: int | None) -> str | None:
    """RFC 3339 in whole seconds."""
    text = rfc_3339(time_ms)
    return text and text.partition(".")[0] + "Z"
