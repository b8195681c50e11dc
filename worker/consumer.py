"""One partition: read entries, store their events in batches, then be done with them.

An entry is done with only when each of its events is stored or a dead letter; what fails before
that stays pending, and is read again. Three things keep one bad entry from holding up the rest: the
store's refusals are isolated (worker/drain.py), an entry that ends the process each time is tried
alone and then buried, and a breaker stops the drain where nearly everything would be buried.

While one batch is written, the next is read and decoded; it is written only once that one is done
with, and not at all if that one failed. So at most two batches are in hand.
"""

import asyncio
import time
from collections.abc import Iterator

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.dead_letter import DeadLetter
from core.errors import Unavailable
from core.metrics import Meter, Metric
from core.partitions import stream_key
from core.settings import Settings
from runtime.background import end
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff
from worker.batch import ENTRIES_MAX, Batch, Delivery
from worker.books import Books
from worker.breaker import Breaker
from worker.drain import Drain
from worker.lease import Lease
from worker.reader import Reader
from worker.settle import FULL, Settler

log = get_log()
ALONE_FROM = 3  # from this delivery on an entry is stored by itself


class Stopped(Exception):
    """The stop came while entries could not be settled; they stay pending."""


class Consumer:
    """Drains one partition until `stop` is set."""

    def __init__(
        self,
        queue: Redis,
        partition: int,
        *,
        name: str,
        drain: Drain,
        books: Books,
        settings: Settings,
        meter: Meter,
        stop: asyncio.Event,
    ) -> None:
        self._partition = partition
        self._stream = stream_key(partition)
        self._lease = Lease(queue, partition, name=name, claim_idle_s=settings.claim_idle_s)
        self._reader = Reader(
            queue, partition, name=name, lease=self._lease, settings=settings, meter=meter
        )
        self._settler = Settler(
            queue, partition, name=name, dead_letters_max=settings.dead_letters_max
        )
        self._drain = drain
        self._books = books
        self.breaker = Breaker(settings.breaker_percent)
        self._events_max = settings.drain_events_max
        self._bytes_max = settings.drain_bytes_max
        self._deliveries_max = settings.deliveries_max
        self._retry_s = settings.breaker_retry_s
        self._meter = meter
        self._stop = stop
        self._throttle = Throttle(10)
        self.away = "The queue has not been reached yet"

    async def run(self) -> None:
        """Drain until stopped; a queue that is away or was emptied is waited for and set up."""
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                await self._books.open(self._partition)
                await self._reader.open()
                await self._drain_on(backoff)
            except (Unavailable, Stopped) as error:
                if not self._stop.is_set():  # the store, at the opening of the books
                    self.away = f"The store is away: {error}"
                    await backoff.wait()
            except QUEUE_ERRORS as error:
                away = f"The queue is away: {error}"
                if away != self.away:  # the first failure, and each new cause
                    log.error("queue away", stream=self._stream, error=str(error))  # noqa: TRY400
                self.away = away
                await backoff.wait()

    async def _drain_on(self, backoff: Backoff) -> None:
        """Read and store until stopped or failed; then nothing of ours is still being stored."""
        tasks: list[asyncio.Task[None]] = []  # the one that stores, the one that waits for it
        try:
            while not self._stop.is_set():
                deliveries = await self._next(tasks)
                self.away = ""
                if deliveries:
                    before = tasks[-1] if tasks else None
                    tasks.append(asyncio.create_task(self._process(deliveries, before)))
                    if before:
                        await before
                        del tasks[0]
                backoff.reset()
            if tasks:
                await tasks[-1]
        except asyncio.CancelledError:
            await end(*tasks)
            raise
        finally:
            await asyncio.gather(*tasks, return_exceptions=True)  # they have ended, or end by now

    async def _next(self, tasks: list[asyncio.Task[None]]) -> list[Delivery]:
        """The next entries: those that are there, if they fill a batch, while one is stored."""
        deliveries: list[Delivery] = []
        if tasks:
            deliveries, enough = await self._reader.ahead()
            if enough:
                return deliveries
            await self._wait_for(tasks[-1], deliveries)
            tasks.clear()
            if self._stop.is_set():
                return deliveries
        return await self._reader.next(deliveries)

    async def _wait_for(self, task: asyncio.Task[None], deliveries: list[Delivery]) -> None:
        """Wait with these in hand; if the task fails, it was not their fault."""
        ids = [delivery.entry_id for delivery in deliveries]
        try:
            async with self._lease.on(ids):
                await task
        except (Unavailable, Stopped):
            await self._lease.release(ids)
            raise

    async def _process(self, deliveries: list[Delivery], before: asyncio.Task[None] | None) -> None:
        """Store what was read, once `before` has stored what was read before; be done with each.

        Raises with some of it pending still, or what `before` raises with all of it.
        """
        ids = [delivery.entry_id for delivery in deliveries]
        try:
            async with self._lease.on(ids):
                for batch in self._batches(deliveries):  # the first is decoded before the wait
                    if before:
                        await before
                    await self._store(batch)
        except (Unavailable, Stopped) as error:
            log.warning("stopped; what is not done with stays pending", error=str(error))
            await self._lease.release(ids)
            raise

    def _batches(self, deliveries: list[Delivery]) -> Iterator[Batch]:
        """Decode what was read, into batches within the bounds.

        The bounds count decoded events: compressed bodies may hold a hundred times what was read.
        """
        batch, started_s = Batch(), time.perf_counter()
        last = deliveries[-1] if deliveries else None
        for delivery in deliveries:
            alone = delivery.times >= ALONE_FROM  # it may be why a worker ended
            if alone and len(batch):
                yield batch
                batch, started_s = Batch(), time.perf_counter()
            self._add(batch, delivery)
            if (
                alone
                or delivery is last
                or len(batch.rows) >= self._events_max
                or batch.payload_bytes >= self._bytes_max
                or len(batch) >= ENTRIES_MAX
            ):
                self._took("decode", started_s)
                yield batch
                batch, started_s = Batch(), time.perf_counter()

    def _took(self, stage: str, started_s: float) -> None:
        self._meter.add(Metric.DRAIN_STAGE_SECONDS, time.perf_counter() - started_s, stage)

    def _add(self, batch: Batch, delivery: Delivery) -> None:
        if delivery.times > self._deliveries_max:
            batch.bury(delivery, f"delivered {delivery.times} times; a worker ended each time")
        else:
            batch.add(delivery)

    async def _store(self, batch: Batch) -> None:
        """Store a batch, then be done with its entries. Raises with nothing of it done."""
        started_s = time.perf_counter()
        while True:
            refused = await self._drain.store(batch.rows)
            self._took("write", started_s)
            letters = batch.letters(refused)
            events, dead = len(batch.rows) + batch.unreadable, len(letters)
            if self.breaker.trips(events, dead):
                await self._wait(f"most would become dead letters; {letters[0][1].why}")
                while refused and await self._drain.store([batch.rows[min(refused)]]):
                    await self._wait(self.breaker.why)  # one row tells whether it is worth a try
            elif await self._settle(batch, letters):
                break
            else:
                await self._wait(f"the dead letters are full; {letters[0][1].why}")
        self._go_on()
        self.breaker.count(events, dead)
        self._meter.add(Metric.ENTRIES_DEAD, batch.unreadable)
        self._meter.add(Metric.EVENTS_DEAD, len(refused))
        self._meter.observe(Metric.DRAIN_SECONDS, time.perf_counter() - started_s)

    async def _settle(self, batch: Batch, letters: list[tuple[int, DeadLetter]]) -> bool:
        """Be done with a batch's entries. False if there is no room for its dead letters."""
        started_s = time.perf_counter()
        try:
            await self._settler.settle(batch.outcomes(letters), letters)
            self._took("settle", started_s)
        except ResponseError as error:
            if str(error).startswith(FULL):
                return False
            raise
        if letters and (held_back := self._throttle.held_back("dead letters")) is not None:
            about = {"count": len(letters), "first": letters[0][1].why, "held_back": held_back}
            log.error("dead letters", stream=self._stream, **about)
        return True

    async def _wait(self, why: str) -> None:
        """The drain is stopped, with an alarm, until it is time to try again. Raises Stopped."""
        if not self.breaker.why:
            log.error("drain stopped", stream=self._stream, why=why)
            self._meter.add(Metric.BREAKER_OPEN, 1)
        self.breaker.why = why
        try:
            await asyncio.wait_for(self._stop.wait(), self._retry_s)
        except TimeoutError:
            return
        raise Stopped(why)

    def _go_on(self) -> None:
        if self.breaker.why:
            log.info("drain goes on", stream=self._stream)
            self.breaker.why = ""
            self._meter.add(Metric.BREAKER_OPEN, -1)
