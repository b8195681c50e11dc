"""Getting entries of one partition: what a crash has left first, own and others', then new ones.

What is read belongs to this consumer until it is acknowledged (Redis's pending entries list), so a
crash at any line loses nothing: after a restart the worker's own pending entries are read first,
and those of a worker that does not come back are claimed once they have been idle for long enough.

New entries can be read ahead, while others are being stored; what a crash has left cannot: reading
it again would give what is in hand, and the first of it must stay the suspect.

How many entries one read asks for follows from the size of those before them. In the worst case,
large bodies right after small ones, it holds READ_BYTES_MAX: as many of the largest as that takes.
"""

import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from core.codec import HEADER, count_of
from core.metrics import Meter, Metric
from core.partitions import GROUP, stream_key
from core.settings import Settings
from runtime.log import get_log
from worker.batch import ENTRIES_MAX, Delivery
from worker.gone import remove_gone
from worker.lease import Lease, position

log = get_log()
FIRST = b"0-0"
IDLE_BLOCK_MS = 500  # a stop is noticed at least this often
READ_BYTES_MAX = 256 << 20  # of the largest bodies that a gateway takes; commonly a few MiB
COUNT_FIRST, COUNT_MAX = 16, 2_000  # entries asked for at once; the server does nothing else then


class Reader:
    """Reads one partition as one consumer of the group."""

    def __init__(
        self,
        queue: Redis,
        partition: int,
        *,
        name: str,
        lease: Lease,
        settings: Settings,
        meter: Meter,
    ) -> None:
        self._queue = queue
        self._stream = stream_key(partition)
        self._name = name
        self._lease = lease
        self._events_max = settings.drain_events_max
        self._bytes_max = settings.drain_bytes_max
        self._age_s = settings.drain_age_ms_max / 1000
        self._claim_idle_s = settings.claim_idle_s
        self._deliveries_max = settings.deliveries_max
        self._meter = meter
        self._count = COUNT_FIRST
        largest = READ_BYTES_MAX // settings.body_bytes_max
        self._count_max = min(COUNT_MAX, max(COUNT_FIRST, largest))
        self._recovering = True  # own entries may be pending: read those first
        self._first_recovery = True  # since the process started: they may be what ended the last
        self._suspects = 1  # the first own entry: the last process may have ended with it
        self._had_group = False
        self._next_claim_s = 0.0
        self._claim_from: bytes = FIRST  # where the search for idle entries goes on

    async def open(self) -> None:
        """Create the group if it is missing; from the start, since storing twice is harmless.

        Call before the first `next`, and after any failure.
        """
        self._recovering = True
        try:
            await self._queue.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except OutOfMemoryError:
            return  # most likely it is there, and draining is what frees memory; a read will tell
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        else:
            self._meter.add(Metric.GROUPS_CREATED)
            tell = log.warning if self._had_group else log.info  # expected at the first start
            tell("consumer group created", stream=self._stream, group=GROUP)
        self._had_group = True

    async def ahead(self) -> tuple[list[Delivery], bool]:
        """New entries that are there now, and whether they fill a batch.

        None where others come first.
        """
        if self._recovering or time.monotonic() >= self._next_claim_s:
            return [], False
        return await self._gather([], wait=False)

    async def next(self, begun: list[Delivery] | None = None) -> list[Delivery]:
        """The next entries, those read ahead first; empty if there were none for a while."""
        if begun:
            return (await self._gather(begun, wait=True))[0]
        if self._recovering:
            if deliveries := await self._own():
                return deliveries
            self._recovering = self._first_recovery = False
        if time.monotonic() >= self._next_claim_s:
            if deliveries := await self._claim():
                return deliveries
            if self._claim_from == FIRST:
                self._next_claim_s = time.monotonic() + self._claim_idle_s / 4
                await remove_gone(self._queue, self._stream, self._name, self._claim_idle_s)
        return (await self._gather([], wait=True))[0]

    async def _own(self) -> list[Delivery]:
        """This consumer's pending entries: left by a crash, or by a failure in this process."""
        while found := (await self._read_group("0"))[0]:
            if self._first_recovery:
                found = await self._with_times(found)
                suspects = found[: self._suspects]
                self._suspects = 0
                found = [*suspects, *self._innocent(found[len(suspects) :])]
            else:
                await self._lease.release([delivery.entry_id for delivery in found])
            if kept := await self._without_lost(found):
                return kept
        return []

    async def _claim(self) -> list[Delivery]:
        """Entries that another worker has left idle for too long."""
        reply: Any = await self._queue.xautoclaim(
            self._stream,
            GROUP,
            self._name,
            self._claim_idle_s * 1000,
            start_id=self._claim_from,
            count=self._count,
        )
        self._claim_from, claimed, deleted = reply
        self._count_lost(deleted)
        if not claimed:
            return []
        self._meter.add(Metric.ENTRIES_CLAIMED, len(claimed))
        log.info("entries claimed", stream=self._stream, entries=len(claimed))
        return self._innocent(await self._with_times([Delivery(*entry) for entry in claimed]))

    async def _gather(self, begun: list[Delivery], *, wait: bool) -> tuple[list[Delivery], bool]:
        """New entries behind those given, until there are enough events, bytes, or time has passed.

        wait: for more to come; for the first a while, then for CONTOX_DRAIN_AGE_MS_MAX.
        Returns whether there are enough, too.
        """
        deliveries, (events, size) = begun, _size(begun)
        until_s = time.monotonic() + self._age_s
        while (
            events < self._events_max and size < self._bytes_max and len(deliveries) < ENTRIES_MAX
        ):
            block_ms = IDLE_BLOCK_MS if not deliveries else int((until_s - time.monotonic()) * 1000)
            if wait and block_ms <= 0:
                return deliveries, False
            more, more_events, more_size = await self._read_group(">", block_ms if wait else None)
            if not more and not (wait and deliveries):
                return deliveries, False
            if not deliveries:
                until_s = time.monotonic() + self._age_s
            events, size = events + more_events, size + more_size
            deliveries += more
        return deliveries, True

    async def _read_group(
        self, after: str, block_ms: int | None = None
    ) -> tuple[list[Delivery], int, int]:
        """Entries as XREADGROUP gives them, their events and their bytes.

        after: ">" is new ones, "0" this consumer's pending ones. The command's name holds its first
        word so that the client leaves the reply as it is: it has no callback for that name, and its
        dictionaries would cost more than the read.
        """
        started_s = time.perf_counter()
        block = () if block_ms is None else ("BLOCK", block_ms)
        command = ("XREADGROUP GROUP", GROUP, self._name, "COUNT", self._count, *block)
        reply: Any = await self._queue.execute_command(*command, "STREAMS", self._stream, after)  # type: ignore[no-untyped-call]
        deliveries = _deliveries(reply[0][1]) if reply else []
        self._meter.add(Metric.DRAIN_STAGE_SECONDS, time.perf_counter() - started_s, "read")
        events, size = _size(deliveries)
        if size > self._bytes_max:
            self._count = max(1, self._count * self._bytes_max // size)
        elif len(deliveries) == self._count and size < self._bytes_max // 2:
            self._count = min(self._count_max, self._count * 2)
        return deliveries, events, size

    async def _with_times(self, deliveries: list[Delivery]) -> list[Delivery]:
        """The same, with how often each was delivered."""
        ids = [delivery.entry_id for delivery in deliveries]
        pending: Any = await self._queue.xpending_range(
            self._stream,
            GROUP,
            min=min(ids, key=position),
            max=max(ids, key=position),
            count=len(ids),
            consumername=self._name,
        )
        times = {found["message_id"]: found["times_delivered"] for found in pending}
        return [d._replace(times=times.get(d.entry_id, 1)) for d in deliveries]

    def _innocent(self, deliveries: list[Delivery]) -> list[Delivery]:
        """The same, none delivered more often than is allowed: they only stood behind another."""
        return [d._replace(times=min(d.times, self._deliveries_max)) for d in deliveries]

    async def _without_lost(self, deliveries: list[Delivery]) -> list[Delivery]:
        """The same, less entries without fields: they were deleted before they were stored."""
        lost = [delivery.entry_id for delivery in deliveries if not delivery.fields]
        if lost:
            await self._queue.xack(self._stream, GROUP, *lost)
            self._count_lost(lost)
        return [delivery for delivery in deliveries if delivery.fields]

    def _count_lost(self, entry_ids: list[bytes]) -> None:
        """Entries that someone deleted before they were stored: nothing can bring them back."""
        if entry_ids:
            self._meter.add(Metric.ENTRIES_LOST, len(entry_ids))
            log.error(
                "entries lost: deleted from the stream before they were stored",
                stream=self._stream,
                entries=len(entry_ids),
                first=entry_ids[0].decode(),
            )


def _deliveries(found: Sequence[tuple[bytes, list[bytes] | None]]) -> list[Delivery]:
    """Entries from their ids, and their fields' names and values in turn; None if it was deleted.

    Built as tuples: the constructor takes three times as long.
    """
    new = tuple.__new__
    return [
        new(Delivery, (entry_id, {parts[0]: parts[1], parts[2]: parts[3]}, 1))
        if parts and len(parts) == 4
        else Delivery(entry_id, dict(zip(parts[::2], parts[1::2], strict=True)) if parts else {})
        for entry_id, parts in found
    ]


def _size(deliveries: list[Delivery]) -> tuple[int, int]:
    """(events, body bytes) of what was read; an entry that cannot be read counts as one event."""
    fields = [delivery[1] for delivery in deliveries]
    events = sum([1 if b"|single|" in f.get(HEADER, b"") else count_of(f) for f in fields])
    return events, sum(map(len, chain.from_iterable([f.values() for f in fields])))
