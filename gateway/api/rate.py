"""Bounds on how often something may happen in a window of time, kept by all gateways together.

The counters are those of the `limits` library, on our own connections to Redis:
contox:limit:LIMITER/<name>/<who>/…, which expire with their window.

Each count is a write, which a queue that syncs every write puts on its disk. So whoever is over the
limit is remembered here for a second, and costs Redis one write a second, however fast they ask.
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
REMEMBERED_S = 1
REMEMBERED_MAX = 10_000


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
        self._over: dict[str, tuple[float, float]] = {}  # when it was seen, when its window ends

    async def hit(self, who: str) -> Standing:
        """Count one more of whom."""
        seen_s, reset_s = self._over.get(who, (0.0, 0.0))
        if time.time() < min(seen_s + REMEMBERED_S, reset_s):
            return self._standing(self._amount + 1, reset_s)
        storage, item = await self._open()
        key = item.key_for(self._name, who)
        async with asyncio.timeout(ANSWER_S):
            count = await storage.incr(key, self._window_s)
            reset_s = await storage.get_expiry(key)
        if count > self._amount:
            self._remember(who, reset_s)
        return self._standing(count, reset_s)

    async def forget(self, who: str) -> None:
        """Start anew for whom."""
        self._over.pop(who, None)
        storage, item = await self._open()
        async with asyncio.timeout(ANSWER_S):
            await storage.clear(item.key_for(self._name, who))

    def _standing(self, count: int, reset_s: float) -> Standing:
        return Standing(
            self._amount,
            max(0, self._amount - count),
            math.ceil(reset_s),
            max(1, math.ceil(reset_s - time.time())) if count > self._amount else None,
        )

    def _remember(self, who: str, reset_s: float) -> None:
        self._over.pop(who, None)
        while len(self._over) >= REMEMBERED_MAX:
            del self._over[next(iter(self._over))]
        self._over[who] = time.time(), reset_s

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
