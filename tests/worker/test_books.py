"""Keeping the ledger on a real queue: emptied queues are found out, imbalances become alarms."""

import asyncio

import pytest
from redis.asyncio import Redis

from core.ledger import ENTRIES, Totals
from core.metrics import Meter, Metric
from core.partitions import GROUP, dead_letter_key, ledger_key, stream_key
from core.settings import read
from core.testing import MemoryEvents, MemoryLedger
from runtime.background import end
from runtime.ledger import read_book
from runtime.queue import open_queue
from tests.runtime.test_ledger import append
from worker import books as module
from worker.books import Books

LEDGER = ledger_key(0)


class Keeping:
    """Books with a clock that the test sets."""

    def __init__(self, queue: Redis) -> None:
        self.meter = Meter("worker")
        self.events = MemoryEvents()
        self.store = MemoryLedger(self.events)
        self.now_s = 0.0
        settings = read({"CONTOX_LEDGER_ALARM_S": "60"})
        self.books = Books(
            queue, self.store, settings=settings, meter=self.meter, clock=lambda: self.now_s
        )


@pytest.fixture
async def keeping(queue: Redis) -> Keeping:
    """Books of a queue with a group, opened."""
    await queue.xgroup_create(stream_key(0), GROUP, id="0", mkstream=True)
    keeping = Keeping(queue)
    await keeping.books.open(0)
    return keeping


async def test_first_opening(queue: Redis, keeping: Keeping) -> None:
    """At first there is nothing to restore; the id is remembered."""
    assert keeping.store.ids[0] == (await read_book(queue, 0)).queue_id
    assert keeping.meter.get(Metric.QUEUE_RESETS) == 0
    await keeping.books.open(0)
    assert keeping.meter.get(Metric.QUEUE_RESETS) == 0


async def test_copied(queue: Redis, keeping: Keeping) -> None:
    """Watching copies the counts to the store, and shows their sums."""
    await append(queue, "p", 3)
    await append(queue, "q", 1)
    await queue.xreadgroup(GROUP, "one", {stream_key(0): ">"}, count=1)
    await queue.xadd(dead_letter_key(0), {"x": 1})
    await keeping.books.watch()
    assert keeping.store.copies[0] == {"p": Totals(3), "q": Totals(1), ENTRIES: Totals(2)}
    assert keeping.meter.get(Metric.LEDGER_EVENTS, "accepted") == 4
    assert keeping.meter.get(Metric.LEDGER_EVENTS, "in_flight") == 4
    assert keeping.meter.get(Metric.PENDING_ENTRIES) == 1
    assert keeping.meter.get(Metric.DEAD_LETTERS) == 1
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 0


async def test_emptied_queue(queue: Redis, keeping: Keeping) -> None:
    """A queue that was emptied gets its counts back, and what it had is missing from then on."""
    await append(queue, "p", 3)
    await keeping.books.watch()
    await queue.flushall()
    await queue.hset(LEDGER, "id", "other")  # by a gateway, which was faster
    await append(queue, "p", 2)
    await queue.xgroup_create(stream_key(0), GROUP, id="0")
    await keeping.books.open(0)
    book = await read_book(queue, 0)
    assert keeping.meter.get(Metric.QUEUE_RESETS) == 1
    assert (book.projects["p"].accepted, book.missing) == (5, 1)
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 3
    assert keeping.store.ids[0] == "other"


async def test_copy_is_older_than_the_store(queue: Redis, keeping: Keeping) -> None:
    """What was stored after the copy was made is not taken for too much."""
    await append(queue, "p", 3)
    await keeping.books.watch()
    keeping.events.counts["p"] = 200
    await queue.flushall()
    await keeping.books.open(0)
    assert (await read_book(queue, 0)).projects["p"] == Totals(200, 200)


async def test_without_its_last_writes(queue: Redis, keeping: Keeping) -> None:
    """A queue that comes back as the same, and has forgotten appends, is found out."""
    await append(queue, "p", 3)
    await append(queue, "p", 4)
    await keeping.books.watch()
    forgotten, _ = (await queue.xrevrange(stream_key(0), count=1))[0]
    await queue.xdel(stream_key(0), forgotten)
    await queue.hset(LEDGER, mapping={"p|a": 3, "|a": 1})
    await keeping.books.open(0)
    assert keeping.meter.get(Metric.QUEUE_RESETS) == 1
    assert (await read_book(queue, 0)).missing == 1
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 4


async def test_second_worker_copies_on(queue: Redis, keeping: Keeping) -> None:
    """A worker that finds the counts restored by another goes on copying them."""
    await append(queue, "p", 3)
    await keeping.books.watch()
    await queue.flushall()
    await queue.xgroup_create(stream_key(0), GROUP, id="0", mkstream=True)
    settings = read({})
    other = Books(queue, keeping.store, settings=settings, meter=Meter("worker"))
    await other.open(0)
    await keeping.books.open(0)
    await append(queue, "p", 5)
    await keeping.books.watch()
    assert keeping.store.copies[0]["p"].accepted == 8


async def test_no_stream(queue: Redis, keeping: Keeping) -> None:
    """Without a stream there is nothing pending, and the rest is shown."""
    await queue.delete(stream_key(0))
    await queue.hset(LEDGER, mapping={"p|a": 3, "p|s": 3})
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_EVENTS, "accepted") == 3


async def test_settled_counts_come_back(queue: Redis, keeping: Keeping) -> None:
    """What was settled before the queue was emptied is not taken for lost."""
    await queue.hset(LEDGER, mapping={"p|a": 10, "p|s": 10, "|a": 5, "|s": 5})
    await keeping.books.watch()
    await queue.flushall()
    await keeping.books.open(0)
    book = await read_book(queue, 0)
    assert book.projects["p"] == Totals(10, 10)
    assert book.missing == 0


async def test_dead_letters_are_lost_with_the_queue(queue: Redis, keeping: Keeping) -> None:
    """Dead letters that an emptied queue has taken along are missing, too."""
    await queue.hset(LEDGER, mapping={"p|a": 10, "p|s": 7, "p|d": 3, "|a": 5, "|s": 5})
    await queue.xadd(dead_letter_key(0), {"x": 1})
    await keeping.books.watch()
    await queue.flushall()
    await keeping.books.open(0)
    await queue.xgroup_create(stream_key(0), GROUP, id="0", mkstream=True)
    await keeping.books.watch()
    assert (await read_book(queue, 0)).projects["p"] == Totals(10, 7)
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 3


async def test_alarm(queue: Redis, keeping: Keeping) -> None:
    """An imbalance is shown at once, is an alarm once it has persisted, and ends with it."""
    entry_id = await append(queue, "p", 3)
    await queue.xdel(stream_key(0), entry_id)
    for now_s, alarm in ((0, 0), (59, 0), (60, 1), (61, 1)):
        keeping.now_s = now_s
        await keeping.books.watch()
        assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 3
        assert keeping.meter.get(Metric.LEDGER_ALARM) == alarm
    await queue.hset(LEDGER, mapping={"p|w": 3, "|s": 1})
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 0
    assert keeping.meter.get(Metric.LEDGER_ALARM) == 0
    keeping.now_s = 200
    await queue.xdel(stream_key(0), await append(queue, "p", 1))
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_ALARM) == 0


async def test_too_long_to_count(
    queue: Redis, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the stream is too long to be counted, the imbalance is told in entries."""
    monkeypatch.setattr("runtime.ledger.SCAN_ENTRIES_MAX", 0)
    await queue.xdel(stream_key(0), await append(queue, "p", 3))
    await keeping.books.watch()
    assert keeping.meter.get(Metric.LEDGER_IMBALANCE) == 1


async def test_new_ledger_is_not_copied_over(queue: Redis, keeping: Keeping) -> None:
    """Between the emptying and the opening nothing is copied: the old counts are still needed."""
    await append(queue, "p", 3)
    await keeping.books.watch()
    await queue.flushall()
    await queue.hset(LEDGER, mapping={"id": "other", "p|a": 1, "|a": 1})
    await queue.xgroup_create(stream_key(0), GROUP, id="0", mkstream=True)
    await keeping.books.watch()
    assert keeping.store.copies[0]["p"] == Totals(3)
    assert keeping.store.ids[0] != "other"


async def test_runs_through_outages(keeping: Keeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch goes on when the queue is away, and looks again."""
    monkeypatch.setattr(module, "WATCH_S", 0.01)
    monkeypatch.setattr(module, "DUTY", 0)
    away = open_queue("redis://127.0.0.1:1/0")
    books = Books(away, keeping.store, settings=read({}), meter=Meter("worker"))
    watching = asyncio.create_task(books.run())
    await asyncio.sleep(0.1)
    assert not watching.done()
    await end(watching)
    await away.aclose()
