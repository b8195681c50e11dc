"""The projects' sealed keys in Redis, between a gateway's memory and the store; and news of
changes.

    contox:keys:<project> := {"version": n, "status": text, "owner": id or null,
                              "secrets": [[sealed in base64, expires_ms or null], …]}
                             {} for a project that does not exist; {"version": DELETED} for one that
                             was deleted
    contox:keys           := numbered news (gateway/channel.py): the id of each project whose keys
                             have changed

Requirements  A change reaches every gateway at once; neither a load that began before it nor the
              announcement of an earlier change must undo it.
Solution      The changer overwrites the cached keys, unless newer ones are there, then tells all. A
              load only adds what is missing, and prefers what it finds there.
Cost          If Redis cannot be reached at the change, gateways learn of it when their copy
              expires.

A lookup waits for at most LOOKUP_TIMEOUT_S, since the store knows the answer too. redis-py closes a
connection whose reply was given up, so that no later lookup can take that reply for its own.
"""

import asyncio
import base64
import re
from typing import Any

import orjson
from redis.asyncio import Redis

from core.ports import ProjectKeys, SealedSecret
from gateway.channel import tell

CHANNEL = "contox:keys"
LOOKUP_TIMEOUT_S = 1.0
ANSWER_S = 2.0  # for a change that somebody waits for
DELETED = 2**53 - 1  # a version after all others, exact as a number of Lua's
PUT = """
local there = redis.call('GET', KEYS[1])
if not there or (cjson.decode(there).version or 0) <= tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
"""
UNKNOWN_TTL_S = 5  # for projects that do not exist
GONE = orjson.dumps({"version": DELETED})
PROJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}").fullmatch


class KeyCache:
    """Keys in Redis. Calls raise one of QUEUE_ERRORS if it cannot be reached or is too slow."""

    def __init__(self, queue: Redis, *, ttl_s: int) -> None:
        self._queue = queue
        self._ttl_s = ttl_s

    async def get(self, project_id: str) -> tuple[bool, ProjectKeys | None]:
        """(is anything cached, what); (True, None) is a project known not to exist."""
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            text = await self._queue.get(_key(project_id))
        return text is not None, _decode(text) if text else None

    async def add(self, project_id: str, keys: ProjectKeys | None) -> ProjectKeys | None:
        """Cache what the store said, unless something newer is there: that is returned instead."""
        ttl_s = self._ttl_s if keys else UNKNOWN_TTL_S
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            added = await self._queue.set(_key(project_id), _encode(keys), ex=ttl_s, nx=True)
        if added:
            return keys
        found, newer = await self.get(project_id)
        return newer if found else keys

    async def announce(self, project_id: str, keys: ProjectKeys | None) -> None:
        """After a change in the store: put the new keys in place and tell every gateway.

        keys: as the store has them now; None: they were deleted.
        """
        version, content = (keys.version, _encode(keys)) if keys else (DELETED, GONE)
        async with asyncio.timeout(ANSWER_S):
            await self._queue.eval(PUT, 1, _key(project_id), version, content, self._ttl_s)
            await tell(self._queue, CHANNEL, project_id)


def _key(project_id: str) -> str:
    return f"contox:keys:{project_id}"


def _encode(keys: ProjectKeys | None) -> bytes:
    if keys is None:
        return b"{}"
    secrets = [[base64.b64encode(s.sealed).decode(), s.expires_ms] for s in keys.secrets]
    content = {
        "version": keys.version,
        "status": keys.status,
        "owner": keys.owner_id,
        "secrets": secrets,
    }
    return orjson.dumps(content)


def _decode(text: bytes | str) -> ProjectKeys | None:
    content: dict[str, Any] = orjson.loads(text)
    if "secrets" not in content:
        return None
    secrets = [
        SealedSecret(base64.b64decode(sealed), expires) for sealed, expires in content["secrets"]
    ]
    return ProjectKeys(content["status"], tuple(secrets), content["owner"], content["version"])
