"""One partition: read entries, store their events in batches, then be done with them.

An entry is done with only when each of its events is stored or a dead letter; what fails before
that stays pending, and is read again. Three things keep one bad entry from holding up the rest: the
store's refusals are isolated (worker/drain.py), an entry that ends the process each time is tried
alone and then buried, and a breaker stops the drain where nearly everything would be buried.
"""

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.dead_letter import DeadLetter
from core.errors import Unavailable
from core.metrics import Meter, Metric
from core.partitions import stream_key
from core.settings import Settings
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff
from worker.batch import Batch, Delivery
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
                while not self._stop.is_set():
                    deliveries = await self._reader.next()
                    self.away = ""
                    if deliveries:
                        await self._process(deliveries)
                    backoff.reset()
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

    async def _process(self, deliveries: list[Delivery]) -> None:
        """Store what was read, in batches within the bounds, and be done with each.

        The bounds count decoded events: compressed bodies may hold a hundred times what was read.
        Raises with some of it pending still.
        """
        ids = [delivery.entry_id for delivery in deliveries]
        try:
            async with self._lease.on(ids):
                batch = Batch()
                for delivery in deliveries:
                    alone = delivery.times >= ALONE_FROM  # it may be why a worker ended
                    if alone and len(batch):
                        await self._store(batch)
                        batch = Batch()
                    self._add(batch, delivery)
                    if alone or self._is_full(batch):
                        await self._store(batch)
                        batch = Batch()
                if len(batch):
                    await self._store(batch)
        except (Unavailable, Stopped) as error:
            log.warning("stopped; what is not done with stays pending", error=str(error))
            await self._lease.release(ids)
            raise

    def _add(self, batch: Batch, delivery: Delivery) -> None:
        if delivery.times > self._deliveries_max:
            batch.bury(delivery, f"delivered {delivery.times} times; a worker ended each time")
        else:
            batch.add(delivery)

    def _is_full(self, batch: Batch) -> bool:
        return len(batch.rows) >= self._events_max or batch.payload_bytes >= self._bytes_max

    async def _store(self, batch: Batch) -> None:
        """Store a batch, then be done with its entries. Raises with nothing of it done."""
        started_s = time.perf_counter()
        while True:
            refused = await self._drain.store(batch.rows)
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
        try:
            await self._settler.settle(batch.outcomes(letters), letters)
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
