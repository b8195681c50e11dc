"""Keeping the ledger: opened on each connect, copied to the store, watched for an imbalance.

Requirements  A queue that was emptied must not look balanced; an imbalance must be told, once it is
              one; none of it on the path of an event.
Solution      The store remembers each ledger's id and counts. At each opening, another id means
              that the queue was emptied or replaced: the counts are raised to what is remembered,
              and what was in flight then is missing from now on. Once a second a task reads the
              ledgers, copies what has changed, and compares with the streams.
Cost          Reading grows with the number of projects, so it takes longer breaks the longer it
              takes: at most a twentieth of the time.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.errors import Unavailable
from core.ledger import ACCEPTED, ENTRIES, Book, Totals, field, total
from core.metrics import Meter, Metric
from core.partitions import GROUP, dead_letter_key, stream_key
from core.ports import LedgerStore
from core.settings import Settings
from runtime.ledger import as_fields, losses, opening, read_book
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
WATCH_S = 1.0
DUTY = 20  # at most one part in so many of the time is spent on watching


class Books:
    """The ledgers of all partitions, as one worker keeps them."""

    def __init__(
        self,
        queue: Redis,
        store: LedgerStore,
        *,
        settings: Settings,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._store = store
        self._partitions = settings.partitions
        self._alarm_s = settings.ledger_alarm_s
        self._meter = meter
        self._clock = clock
        self._copied: dict[int, Book] = {}
        self._unbalanced_since_s: float | None = None

    async def open(self, partition: int) -> None:
        """Open a partition's ledger; a queue that has forgotten it is told what it held.

        Raises RedisError, Unavailable.
        """
        known = await self._store.queue_id(partition)
        answer: Any = await self._queue.execute_command(*opening(partition, {}))  # type: ignore[no-untyped-call]
        queue_id = answer[0].decode()
        copied = self._copied.get(partition)
        if copied and copied.queue_id != queue_id:
            del self._copied[partition]  # be it that another worker has restored the counts
        if queue_id == known:
            await self._raise_accepted(partition, queue_id)
            return
        if known is not None:
            await self._restore(partition, known)
        await self._store.remember(partition, queue_id, {})

    async def _raise_accepted(self, partition: int, queue_id: str) -> None:
        """A queue that is the same one may have come back without the end of its file."""
        copy = await self._store.copy(partition)
        counts = {field(project, ACCEPTED): t.accepted for project, t in copy.items()}
        command = opening(partition, counts, queue_id)
        _, *raised = await self._queue.execute_command(*command)  # type: ignore[no-untyped-call]
        if any(raised):
            self._meter.add(Metric.QUEUE_RESETS)
            log.error(
                "the queue came back without its last writes; see: contox-ingest doctor",
                partition=partition,
            )

    async def _restore(self, partition: int, known_id: str) -> None:
        """Raise the counts of a queue that was emptied or replaced to what they were."""
        copy = await self._store.copy(partition)
        stored = await self._store.stored(copy.keys())
        copy = {
            project: _at_least(totals, stored.get(project, 0)) for project, totals in copy.items()
        }
        if not await self._queue.xlen(dead_letter_key(partition)):
            copy = _without_dead_letters(copy)
        counts = {name: n for p, t in copy.items() for name, n in as_fields(p, t).items() if n}
        command = opening(partition, counts, known_id)
        await self._queue.execute_command(*command)  # type: ignore[no-untyped-call]
        outstanding = total(t for project, t in copy.items() if project != ENTRIES).outstanding
        self._meter.add(Metric.QUEUE_RESETS)
        log.error(
            "the queue was emptied or replaced; see: contox-ingest doctor",
            partition=partition,
            events_in_flight_then=outstanding,
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            started_s = time.monotonic()
            try:
                await self.watch()
            except (*QUEUE_ERRORS, Unavailable) as error:
                log.debug("ledger not watched", error=str(error))
            await asyncio.sleep(max(WATCH_S, DUTY * (time.monotonic() - started_s)))

    async def watch(self) -> None:
        """Read all ledgers once: copy what has changed, show the sums, tell of an imbalance."""
        books = [await read_book(self._queue, n) for n in range(self._partitions)]
        for partition, book in enumerate(books):
            await self._copy(partition, book)
        self._judge(await self._imbalance(books))
        await self._show(books)

    async def _copy(self, partition: int, book: Book) -> None:
        last = self._copied.get(partition)
        if not book.queue_id or (last and last.queue_id != book.queue_id):
            return  # `open` sees to a ledger that is new
        known = last.projects if last else {}
        changed = {p: t for p, t in book.projects.items() if known.get(p) != t}
        if changed or not last or last.entries != book.entries:
            await self._store.remember(partition, book.queue_id, {**changed, ENTRIES: book.entries})
            self._copied[partition] = book

    async def _show(self, books: list[Book]) -> None:
        sums = total(t for book in books for t in book.projects.values())
        for state, count in zip(Totals._fields, sums, strict=True):
            self._meter.set(Metric.LEDGER_EVENTS, count, state)
        self._meter.set(Metric.LEDGER_EVENTS, max(sums.outstanding, 0), "in_flight")
        pending = dead = 0
        for partition in range(self._partitions):
            groups = await self._groups(partition)
            pending += sum(g["pending"] for g in groups if g["name"] == GROUP.encode())
            dead += await self._queue.xlen(dead_letter_key(partition))
        self._meter.set(Metric.PENDING_ENTRIES, pending)
        self._meter.set(Metric.DEAD_LETTERS, dead)

    async def _groups(self, partition: int) -> Any:
        try:
            return await self._queue.xinfo_groups(stream_key(partition))
        except ResponseError:  # there is no stream now
            return []

    async def _imbalance(self, books: list[Book]) -> int:
        """Events that are nowhere; in entries, where the stream is too long to be counted."""
        imbalance = 0
        for partition, book in enumerate(books):
            if book.missing:
                stored = await self._store.stored(book.projects.keys())
                lost = await losses(self._queue, partition, stored)
                imbalance += abs(book.missing) if lost is None else sum(map(abs, lost.values()))
        return imbalance

    def _judge(self, imbalance: int) -> None:
        """An imbalance is an alarm once it has persisted."""
        self._meter.set(Metric.LEDGER_IMBALANCE, imbalance)
        if not imbalance:
            if self._meter.get(Metric.LEDGER_ALARM):
                log.info("the ledger is in balance again")
            self._unbalanced_since_s = None
            self._meter.set(Metric.LEDGER_ALARM, 0)
            return
        if self._unbalanced_since_s is None:
            self._unbalanced_since_s = self._clock()
        persisted = self._clock() - self._unbalanced_since_s >= self._alarm_s
        if persisted and not self._meter.get(Metric.LEDGER_ALARM):
            self._meter.set(Metric.LEDGER_ALARM, 1)
            log.error("the ledger is out of balance; see: contox-ingest doctor", events=imbalance)


def _at_least(totals: Totals, stored: int) -> Totals:
    """The counts as they were when so much was stored: the copy may be a second older."""
    totals = totals._replace(settled=max(totals.settled, stored))
    return totals._replace(accepted=totals.accepted + max(-totals.outstanding, 0))


def _without_dead_letters(copy: dict[str, Totals]) -> dict[str, Totals]:
    """The counts of a queue whose dead letters are gone: they are in flight, and so missing."""
    gone = sum(totals.dead for totals in copy.values())
    entries = copy.get(ENTRIES, Totals())
    entries = entries._replace(accepted=entries.accepted + gone)
    return {p: t._replace(dead=0) for p, t in copy.items()} | {ENTRIES: entries}
