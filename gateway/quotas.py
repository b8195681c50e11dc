"""What each project may send per second, kept by all gateways together.

    contox:quota:<project> := a hash, events | bytes: what all gateways have let in since it was
                              made; expires COUNTER_S after its last use

Requirements  A project's events and bytes per second are bounded over the whole fleet; no request
              waits for a network; the queue may be away; memory and traffic are bounded.
Solution      Every gateway has a bucket of the whole rate per project, in memory. Off the path,
              every SYNC_S, it adds what it let in to the project's counter, and takes what others
              have added from its own bucket: core/quota.py.
Cost          Each gateway lets in a second's worth, and what comes within SYNC_S, before it knows
              of the others. With the queue away each keeps the whole quota by itself.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice

from redis.asyncio import Redis

from core.errors import Reason, Rejected
from core.quota import Bucket
from core.settings import Settings
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
SYNC_S = 0.25
SYNC_TIMEOUT_S = 2
SYNC_PROJECTS_MAX = 1_000  # in one go; the others' turn comes next
COUNTER_S = 60
PROJECTS_MAX = 100_000
FIELDS = ("events", "bytes")


class Quota:
    """One project's buckets, for the resources that have a bound."""

    __slots__ = ("buckets",)

    def __init__(self, rates_s: dict[str, int], now_s: float) -> None:
        self.buckets = {field: Bucket(rate_s, now_s) for field, rate_s in rates_s.items()}

    def pay(self, field: str, tokens: int) -> None:
        """Take what a request has cost of a resource, if that has a bound."""
        if bucket := self.buckets.get(field):
            bucket.pay(tokens)


class Quotas:
    """The quotas of all projects in this process. `run` must be running for them to be shared."""

    def __init__(
        self, queue: Redis, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._clock = clock
        rates_s = zip(FIELDS, (settings.quota_events_s, settings.quota_bytes_s), strict=True)
        self._rates_s = {field: rate_s for field, rate_s in rates_s if rate_s}
        self.bounded = bool(self._rates_s)  # whether there is any
        self._quotas: dict[str, Quota] = {}
        self._asked: dict[str, Quota] = {}  # by whom since its last sync, the longest ago first
        self._throttle = Throttle(10)

    def check(self, project: str, body_bytes: int) -> Quota | None:
        """Let a request in, which pays for its bytes and one event; None: nothing has a bound.

        The caller pays for further events once it has counted them. Raises Rejected: rate_limited.
        """
        if not self._rates_s:
            return None
        now_s = self._clock()
        quota = self._quotas.get(project) or self._add(project, now_s)
        self._asked[project] = quota
        if wait_s := max([bucket.wait_s(now_s) for bucket in quota.buckets.values()]):
            raise Rejected(Reason.RATE_LIMITED, retry_after_s=wait_s)
        quota.pay("bytes", body_bytes)
        quota.pay("events", 1)
        return quota

    async def sync(self) -> None:
        """Tell the others what was let in here, and learn what they let in.

        If the queue does not answer, what was let in here meanwhile is never told.
        """
        told = self._take_untold()
        if not told:
            return
        try:
            async with (
                asyncio.timeout(SYNC_TIMEOUT_S),
                self._queue.pipeline(transaction=False) as pipe,
            ):
                for key, field, _, tokens in told:
                    pipe.hincrby(key, field, tokens)
                    pipe.expire(key, COUNTER_S)
                totals = (await pipe.execute(raise_on_error=False))[::2]
        except QUEUE_ERRORS as error:
            totals = [error] * len(told)
        now_s = self._clock()
        for (_, _, bucket, tokens), total in zip(told, totals, strict=True):
            if isinstance(total, int):
                bucket.learn(total, tokens, now_s)
                continue
            bucket.forget()
            if (held_back := self._throttle.held_back("sync")) is not None:
                log.warning("quotas not shared", error=str(total), held_back=held_back)

    async def run(self) -> None:
        """Sync until cancelled; returns if nothing has a bound."""
        while self._rates_s:
            await asyncio.sleep(SYNC_S)
            await self.sync()

    def _add(self, project: str, now_s: float) -> Quota:
        while len(self._quotas) >= PROJECTS_MAX:
            oldest = next(iter(self._quotas))
            del self._quotas[oldest]
            self._asked.pop(oldest, None)
        quota = self._quotas[project] = Quota(self._rates_s, now_s)
        return quota

    def _take_untold(self) -> list[tuple[str, str, Bucket, int]]:
        """(key, field, bucket, tokens) of those that asked, refused ones too: they wait to learn
        what others let in."""
        asked = list(islice(self._asked.items(), SYNC_PROJECTS_MAX))
        for project, _ in asked:
            del self._asked[project]
        return [
            (f"contox:quota:{project}", field, bucket, bucket.tell())
            for project, quota in asked
            for field, bucket in quota.buckets.items()
        ]
