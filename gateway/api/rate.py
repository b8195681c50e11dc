"""Bounds on how often something may happen in a window of time, kept by all gateways together.

The counters are those of the `limits` library, on our own connections to Redis:
contox:limit:LIMITER/<name>/<who>/…, which expire with their window.

Each count is a write, which a queue that syncs every write puts on its disk. So whoever is over the
limit is remembered here for a second, and costs Redis one write a second, however fast they ask.
When a client's window ends is asked once.
"""

import asyncio
import math
import time
from typing import TYPE_CHECKING, NamedTuple

from redis.asyncio import Redis

from core.errors import Reason, Rejected
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


class _Window(NamedTuple):
    """A client's window, as it was last seen here."""

    end_s: float  # Unix time
    over_s: float  # when the client was seen over the limit; 0: not yet


NO_WINDOW = _Window(0, 0)


def limited(retry_after_s: int) -> Rejected:
    """The 429 of the API; the sentence is a part of the contract."""
    sentence = f"Rate limit exceeded. Please retry after {retry_after_s} seconds."
    return Rejected(Reason.RATE_LIMITED, sentence, retry_after_s=retry_after_s)


class RateLimit:
    """At most `amount` in `window_s` seconds from the first one on. Calls raise one of QUEUE_ERRORS
    if Redis does not answer."""

    def __init__(self, queue: Redis, name: str, *, amount: int, window_s: int) -> None:
        self._queue = queue
        self._name = name
        self._amount = amount
        self._window_s = window_s
        self._opened: tuple[RedisStorage, RateLimitItem] | None = None
        self._windows: dict[str, _Window] = {}  # the latest REMEMBERED_MAX

    async def hit(self, who: str) -> Standing:
        """Count one more of whom."""
        now_s = time.time()
        known = self._windows.get(who, NO_WINDOW)
        if now_s < min(known.over_s + REMEMBERED_S, known.end_s):
            return self._standing(self._amount + 1, known.end_s)
        storage, item = await self._open()
        key = item.key_for(self._name, who)
        async with asyncio.timeout(ANSWER_S):
            count = await storage.incr(key, self._window_s)
            if count == 1:
                end_s = now_s + self._window_s
            else:
                end_s = known.end_s if now_s < known.end_s else await storage.get_expiry(key)
        self._remember(who, _Window(end_s, now_s if count > self._amount else 0))
        return self._standing(count, end_s)

    def unknown(self) -> Standing:
        """What is said while Redis does not answer: nothing is left for the next second."""
        return Standing(self._amount, 0, math.ceil(time.time()) + 1, None)

    def over_s(self, who: str) -> int:
        """Seconds until the window of whom ends, if it was seen here to be over; else 0. Counts
        nothing, and asks nobody."""
        known, now_s = self._windows.get(who, NO_WINDOW), time.time()
        return max(1, math.ceil(known.end_s - now_s)) if known.over_s and now_s < known.end_s else 0

    async def forget(self, who: str) -> None:
        """Start anew for whom."""
        self._windows.pop(who, None)
        storage, item = await self._open()
        async with asyncio.timeout(ANSWER_S):
            await storage.clear(item.key_for(self._name, who))

    def _standing(self, count: int, end_s: float) -> Standing:
        return Standing(
            self._amount,
            max(0, self._amount - count),
            math.ceil(end_s),
            max(1, math.ceil(end_s - time.time())) if count > self._amount else None,
        )

    def _remember(self, who: str, window: _Window) -> None:
        self._windows.pop(who, None)
        while len(self._windows) >= REMEMBERED_MAX:
            del self._windows[next(iter(self._windows))]
        self._windows[who] = window

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
