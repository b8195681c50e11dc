"""Bounds on how often something may happen in a window of time, kept by all gateways together.

The counters are those of the `limits` library, on our own connections to Redis:
contox:limit:LIMITER/<name>/<who>/…, which expire with their window.
"""

import asyncio
import math
import time
from typing import TYPE_CHECKING, NamedTuple

from redis.asyncio import Redis

from gateway.api.account_cache import ANSWER_S

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.storage import RedisStorage

PREFIX = "contox:limit"


class Standing(NamedTuple):
    """How far a client has come in its window."""

    limit: int
    remaining: int
    reset_s: int  # Unix seconds at which the window ends
    retry_after_s: int | None  # None: this one was within the limit

    def headers(self) -> dict[str, str]:
        """What a response says of it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RateLimit:
    """At most `amount` in `window_s` seconds from the first one on. Calls raise one of QUEUE_ERRORS
    if Redis does not answer."""

    def __init__(self, queue: Redis, name: str, *, amount: int, window_s: int) -> None:
        self._queue = queue
        self._name = name
        self._amount = amount
        self._window_s = window_s
        self._opened: tuple[RedisStorage, RateLimitItem] | None = None

    async def hit(self, who: str) -> Standing:
        """Count one more of whom; it counts even where it is over the limit."""
        storage, item = await self._open()
        key = item.key_for(self._name, who)
        async with asyncio.timeout(ANSWER_S):
            count = await storage.incr(key, self._window_s)
            reset_s = await storage.get_expiry(key)
        left_s = max(1, math.ceil(reset_s - time.time()))
        return Standing(
            self._amount,
            max(0, self._amount - count),
            math.ceil(reset_s),
            left_s if count > self._amount else None,
        )

    async def forget(self, who: str) -> None:
        """Start anew for whom."""
        storage, item = await self._open()
        async with asyncio.timeout(ANSWER_S):
            await storage.clear(item.key_for(self._name, who))

    async def _open(self) -> "tuple[RedisStorage, RateLimitItem]":
        """The counters; at the first use, on a thread, for the library takes long to import."""
        if self._opened is None:
            self._opened = await asyncio.to_thread(_open, self._queue, self._amount, self._window_s)
        return self._opened


def _open(queue: Redis, amount: int, window_s: int) -> "tuple[RedisStorage, RateLimitItem]":
    from limits import RateLimitItemPerSecond  # noqa: PLC0415
    from limits.aio.storage import RedisStorage  # noqa: PLC0415

    storage = RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix=PREFIX,
        connection_pool=queue.connection_pool,  # type: ignore[arg-type]
    )
    return storage, RateLimitItemPerSecond(amount, window_s)
