"""One partition: read entries, gather a batch, store it, then acknowledge and delete.

What is read belongs to this consumer until it is acknowledged (Redis's pending entries list), so a
crash at any line loses nothing: after a restart the worker's own pending entries are read first,
and those of a worker that does not come back are claimed once they have been idle for long enough.
Acknowledging, deleting and the dead letters are one step for the server.
"""

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from core.codec import decode, explode
from core.errors import Refused, Unavailable
from core.event import Row
from core.metrics import Meter, Metric
from core.partitions import GROUP, dead_letter_key, stream_key
from core.settings import Settings
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff
from worker.dead_letters import DeadLetter, bury, of_entry, of_event
from worker.drain import Drain

log = get_log()
IDLE_BLOCK_MS = 500  # a stop is noticed at least this often
COUNT_FIRST, COUNT_MAX = 16, 200  # entries asked for at once, each up to a body's limit

Delivery = tuple[bytes, dict[bytes, bytes]]  # entry id, fields; no fields: it was deleted


class Consumer:
    """Drains one partition until `stop` is set."""

    def __init__(
        self,
        queue: Redis,
        partition: int,
        *,
        name: str,
        drain: Drain,
        settings: Settings,
        meter: Meter,
        stop: asyncio.Event,
    ) -> None:
        self._queue = queue
        self._stream = stream_key(partition)
        self._dead = dead_letter_key(partition)
        self._drain = drain
        self._name = name
        self._events_max = settings.drain_events_max
        self._bytes_max = settings.drain_bytes_max
        self._age_s = settings.drain_age_ms_max / 1000
        self._claim_idle_s = settings.claim_idle_s
        self._meter = meter
        self._stop = stop
        self._count = COUNT_FIRST
        self._recovering = True  # own entries may be pending: read those first
        self._drained = False  # whether this consumer has had its group before
        self._next_claim_s = 0.0
        self._throttle = Throttle(10)
        self.away = "The queue has not been reached yet"

    async def run(self) -> None:
        """Drain until stopped; a queue that is away or was emptied is waited for and set up."""
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                await self._ensure_group()
                self._recovering = True
                while not self._stop.is_set():
                    deliveries = await self._read()
                    self.away = ""
                    if deliveries:
                        await self._process(deliveries)
                    backoff.reset()
            except Unavailable as error:
                log.warning(
                    "stopped with the store away; nothing is acknowledged", error=str(error)
                )
            except QUEUE_ERRORS as error:
                away = f"The queue is away: {error}"
                if away != self.away:  # the first failure, and each new cause
                    log.error("queue away", stream=self._stream, error=str(error))  # noqa: TRY400
                self.away = away
                await backoff.wait()

    async def _ensure_group(self) -> None:
        """Create the group if it is missing; from the start, since storing twice is harmless."""
        try:
            await self._queue.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except OutOfMemoryError:
            return  # most likely it is there, and draining is what frees memory; a read will tell
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        else:
            self._meter.add(Metric.GROUPS_CREATED)
            tell = log.warning if self._drained else log.info  # at the first start it is expected
            tell("consumer group created", stream=self._stream, group=GROUP)
        self._drained = True

    async def _read(self) -> list[Delivery]:
        """The next entries: first those that a crash has left, own and others', then new ones."""
        if self._recovering:
            if deliveries := await self._read_group("0"):
                return deliveries
            self._recovering = False
        if time.monotonic() >= self._next_claim_s:
            if deliveries := await self._claim():
                return deliveries
            self._next_claim_s = time.monotonic() + self._claim_idle_s / 4
        return await self._gather()

    async def _gather(self) -> list[Delivery]:
        """New entries, until there are enough events, bytes, or time has passed."""
        deliveries = await self._read_group(">", IDLE_BLOCK_MS)
        events, size = _size(deliveries)
        until_s = time.monotonic() + self._age_s
        while deliveries and events < self._events_max and size < self._bytes_max:
            left_ms = int((until_s - time.monotonic()) * 1000)
            if left_ms <= 0 or self._stop.is_set():
                break
            more = await self._read_group(">", left_ms)
            more_events, more_size = _size(more)
            events, size = events + more_events, size + more_size
            deliveries += more
        return deliveries

    async def _read_group(self, after: str, block_ms: int | None = None) -> list[Delivery]:
        """Entries as XREADGROUP gives them: ">" is new ones, "0" this consumer's pending ones."""
        reply: Any = await self._queue.xreadgroup(
            GROUP, self._name, {self._stream: after}, count=self._count, block=block_ms
        )
        deliveries: list[Delivery] = reply[0][1] if reply else []
        _, size = _size(deliveries)
        if size > self._bytes_max:
            self._count = max(1, self._count // 2)
        elif len(deliveries) == self._count and size < self._bytes_max // 2:
            self._count = min(COUNT_MAX, self._count * 2)
        return deliveries

    async def _claim(self) -> list[Delivery]:
        """Entries that another worker has left idle for too long."""
        reply: Any = await self._queue.xautoclaim(
            self._stream, GROUP, self._name, self._claim_idle_s * 1000, count=self._count
        )
        _, deliveries, deleted = reply
        self._count_lost(deleted)
        if deliveries:
            self._meter.add(Metric.ENTRIES_CLAIMED, len(deliveries))
            log.info("entries claimed", stream=self._stream, entries=len(deliveries))
        return list(deliveries)

    async def _process(self, deliveries: list[Delivery]) -> None:
        """Store what was read, in batches within the bounds, and acknowledge each.

        The bounds count decoded events: compressed bodies may hold a hundred times what was read.
        """
        batch = Batch()
        for entry_id, fields in deliveries:
            batch.add(entry_id, fields)
            if len(batch.rows) >= self._events_max or batch.payload_bytes >= self._bytes_max:
                await self._store(batch)
                batch = Batch()
        if batch.entry_ids:
            await self._store(batch)

    async def _store(self, batch: "Batch") -> None:
        """Store a batch, then acknowledge it. Raises with nothing of it acknowledged."""
        started_s = time.perf_counter()
        refused = await self._drain.store(batch.rows)
        dead = batch.unreadable + [
            of_event(batch.origins[index], batch.rows[index], why) for index, why in refused.items()
        ]
        await self._acknowledge(batch.entry_ids, dead)
        self._meter.add(Metric.ENTRIES_DEAD, len(batch.unreadable))
        self._meter.add(Metric.EVENTS_DEAD, len(refused))
        self._count_lost(batch.lost)
        self._meter.observe(Metric.DRAIN_SECONDS, time.perf_counter() - started_s)

    async def _acknowledge(self, entry_ids: list[bytes], dead: list[DeadLetter]) -> None:
        """Keep the dead letters, then be done with the entries: both or neither."""
        if dead:
            letters = bury(self._stream, self._dead, entry_ids, dead)
            await self._queue.execute_command("EVAL", *letters)  # type: ignore[no-untyped-call]
            if (held_back := self._throttle.held_back("dead letters")) is not None:
                why, count = dead[0].why, len(dead)
                log.error(
                    "dead letters", stream=self._dead, count=count, first=why, held_back=held_back
                )
            return
        async with self._queue.pipeline(transaction=True) as pipe:
            pipe.xack(self._stream, GROUP, *entry_ids)
            pipe.xdel(self._stream, *entry_ids)
            try:
                await pipe.execute()
            except OutOfMemoryError:  # Redis 7.0 then refuses any transaction; without one, neither
                await self._queue.xack(self._stream, GROUP, *entry_ids)
                await self._queue.xdel(self._stream, *entry_ids)

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


class Batch:
    """Entries on their way to the store, decoded."""

    def __init__(self) -> None:
        self.entry_ids: list[bytes] = []
        self.rows: list[Row] = []
        self.origins: list[bytes] = []  # of each row, its entry's id
        self.unreadable: list[DeadLetter] = []
        self.lost: list[bytes] = []  # entries without fields: deleted before they were stored
        self.payload_bytes = 0

    def add(self, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        """Take in an entry."""
        self.entry_ids.append(entry_id)
        if not fields:
            self.lost.append(entry_id)
            return
        try:
            rows = explode(decode(fields))
        except Refused as error:
            self.unreadable.append(of_entry(entry_id, fields, error.why))
            return
        self.rows += rows
        self.origins += [entry_id] * len(rows)
        self.payload_bytes += sum(len(row.payload) for row in rows)


def _size(deliveries: list[Delivery]) -> tuple[int, int]:
    """(events, body bytes) of what was read; an entry that cannot be read counts as one event."""
    events = size = 0
    for _, fields in deliveries:
        size += sum(map(len, fields.values()))
        try:
            events += decode(fields).count
        except Refused:
            events += 1
    return events, size
