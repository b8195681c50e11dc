"""How full the queue is, sampled off the request path: when to refuse, and for how long.

Requirements  What waits for the workers is bounded, in entries, in entries that nobody has read and
              in the server's memory; who is refused learns when there is room again.
Solution      One pipeline every SAMPLE_S asks all streams for their length and their group's
              progress, and the server for its memory. Progress tells the rate of draining, and
              that the time until the level is low enough.
Cost          A bound may be passed by what arrives within SAMPLE_S. XINFO STREAM would tell the
              entries ever added on every server, but sends two whole bodies along: the group's
              counters tell the same, once it has read.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.backpressure import RESUME, Bound, DrainRate, retry_after_s
from core.metrics import Meter, Metric
from core.partitions import GROUP, stream_key
from core.settings import Settings
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
SAMPLE_S = 0.5
SAMPLE_TIMEOUT_S = 2


class Stream(NamedTuple):
    """One partition, as sampled; None: the server does not tell."""

    entries: int
    unread: int | None  # entries that no worker has read yet
    added: int | None  # entries ever added


class Backlog:
    """Knows, as of the last sample, whether a bound is reached."""

    def __init__(
        self,
        queue: Redis,
        settings: Settings,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._meter = meter
        self._clock = clock
        self._entries = Bound(settings.backlog_entries_max)
        self._unread = Bound(settings.backlog_lag_max)
        self._memory = Bound(settings.backlog_memory_percent / 100)
        self._streams = [Stream(0, 0, None)] * settings.partitions
        self._rates = [DrainRate() for _ in self._streams]
        self._hidden = ""  # what the server does not let us see
        self.full = ""  # the sentence of the bound that is reached, or empty

    def retry_after_s(self) -> int:
        """Whole seconds after which there should be room, as things go."""
        total, rate_s = sum(stream.entries for stream in self._streams), self._rate_s()
        waits = []
        for bound, partition in (
            (self._entries, self._fullest()),
            (self._unread, self._least_read()),
        ):
            if bound.reached:
                own_rate_s = self._rates[partition].entries_s
                waits.append(retry_after_s(bound.excess() * bound.level, own_rate_s))
        if self._memory.reached:
            waits.append(retry_after_s(self._memory.excess() * total, rate_s))
        # none, though the server refused for want of memory: it falls as the streams do
        return max(waits) if waits else retry_after_s((1 - RESUME) * total, rate_s)

    async def sample(self) -> None:
        """Look at all partitions. Keeps the last answer if they do not tell, or not in time."""
        try:
            async with (
                asyncio.timeout(SAMPLE_TIMEOUT_S),
                self._queue.pipeline(transaction=False) as pipe,
            ):
                for partition in range(len(self._streams)):
                    pipe.xlen(stream_key(partition))
                    pipe.xinfo_groups(stream_key(partition))
                pipe.info("memory")
                *replies, memory = await pipe.execute(raise_on_error=False)
            streams = list(map(_stream, replies[::2], replies[1::2]))
        except QUEUE_ERRORS:
            return  # the publisher tells of a queue that is away
        self._note_hidden([*replies, memory])
        self._update(streams, _memory_ratio(memory))

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_S)

    def _update(self, streams: list[Stream], memory_ratio: float) -> None:
        now_s = self._clock()
        self._streams = streams
        for rate, stream in zip(self._rates, streams, strict=True):
            rate.observe(stream.entries, stream.added, now_s)
        self._entries.update(streams[self._fullest()].entries)
        self._unread.update(streams[self._least_read()].unread or 0)
        self._memory.update(memory_ratio)
        full = self._why_full()
        if bool(full) != bool(self.full):
            log.warning("backlog full" if full else "backlog has room", why=full or self.full)
        self.full = full
        self._meter.set(Metric.BACKLOG_ENTRIES, self._entries.level)
        self._meter.set(Metric.BACKLOG_LAG, self._unread.level)
        self._meter.set(Metric.BACKLOG_MEMORY, self._memory.level)
        self._meter.set(Metric.BACKLOG_DRAIN, self._rate_s())
        self._meter.set(Metric.BACKLOG_FULL, bool(self.full))

    def _why_full(self) -> str:
        if self._entries.reached:
            what = f"partition {self._fullest()} holds {self._entries.level:,.0f} entries"
            return f"The backlog is full: {what} (CONTOX_BACKLOG_ENTRIES_MAX)"
        if self._unread.reached:
            what = f"partition {self._least_read()} holds {self._unread.level:,.0f} unread entries"
            return f"The backlog is full: {what} (CONTOX_BACKLOG_LAG_MAX)"
        if self._memory.reached:
            what = f"the queue uses {self._memory.level:.0%} of its maxmemory"
            return f"The backlog is full: {what} (CONTOX_BACKLOG_MEMORY_PERCENT)"
        return ""

    def _fullest(self) -> int:
        return max(range(len(self._streams)), key=lambda n: self._streams[n].entries)

    def _least_read(self) -> int:
        return max(range(len(self._streams)), key=lambda n: self._streams[n].unread or 0)

    def _rate_s(self) -> float:
        return sum(rate.entries_s for rate in self._rates)

    def _note_hidden(self, replies: list[Any]) -> None:
        """Warn, once, of what the queue's user may not see: its bounds are without effect."""
        errors = [str(reply) for reply in replies if isinstance(reply, ResponseError)]
        hidden = next((error for error in errors if not _is_missing(error)), "")
        if hidden and hidden != self._hidden:
            log.warning("the backlog is seen in part only", error=hidden)
        self._hidden = hidden


def _stream(entries: Any, groups: Any) -> Stream:
    """A partition from the replies to XLEN and XINFO GROUPS. Raises the former's error."""
    if isinstance(entries, Exception):
        raise entries
    if isinstance(groups, Exception):
        return Stream(entries, None, None)  # hidden, or there is no stream
    group = next((group for group in groups if group["name"] == GROUP.encode()), None)
    if group is None:  # no worker has ever come, or it was deleted
        return Stream(entries, entries, None)
    lag, read = group.get("lag"), group.get("entries-read")
    # None: deleted out of order. Deleted ones that nobody has read may count, too: never over all.
    unread = entries - group["pending"] if lag is None else min(lag, entries)
    return Stream(entries, unread, None if read is None else read + unread)


def _is_missing(error: str) -> bool:
    return error.startswith("no such key")


def _memory_ratio(memory: Any) -> float:
    """The used share of maxmemory, as the server counts it; 0 if there is none, or it is hidden."""
    if isinstance(memory, Exception) or not memory.get("maxmemory"):
        return 0.0
    used: int = memory["used_memory"] - memory.get("mem_not_counted_for_evict", 0)
    return used / int(memory["maxmemory"])
