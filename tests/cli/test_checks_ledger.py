"""What the doctor says of the ledger: a real queue, a real store, losses that happened."""

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.checks_ledger import CHECKS, Ledger, check_balance, check_identity
from cli.findings import Status, examine
from core.event import Row
from core.metrics import Meter
from core.partitions import ledger_key, stream_key
from core.settings import read
from runtime import ledger as runtime_ledger
from store.events import SqlEvents
from store.ledger import SqlLedger
from tests.cli.flow import append, one, open_ledger
from worker.books import Books

HOLDS, WARNING, BROKEN, UNCHECKED = Status


@pytest.fixture
def ledger(queue: Redis, sqlite: AsyncEngine) -> Ledger:
    """A ledger of one partition."""
    return Ledger(queue, SqlLedger(sqlite), 1, {"proj_1": "demo"})


@pytest.fixture
async def books(ledger: Ledger) -> Books:
    """The books of a worker that has seen the queue."""
    books = Books(ledger.queue, ledger.store, settings=read({}), meter=Meter("worker"))
    await books.open(0)
    return books


async def watch(books: Books, queue: Redis) -> None:
    """Let the worker remember what there is."""
    if not await queue.exists(stream_key(0)):
        await queue.xgroup_create(stream_key(0), "contox-workers", mkstream=True)
    await books.watch()


async def test_nothing_yet(ledger: Ledger) -> None:
    """Before the first event there is nothing to be in balance, nor to be remembered."""
    found = await examine("ledger", CHECKS, ledger)
    assert [f.status for f in found] == [HOLDS, UNCHECKED]


async def test_in_balance(ledger: Ledger, books: Books) -> None:
    """Sums are told; the queue is the one that the store remembers."""
    await append(ledger.queue, "proj_1", 3)
    await watch(books, ledger.queue)
    told = "3 events accepted, 3 in flight, none lost; 1 project, 1 partition"
    assert one(await check_balance(ledger)) == (HOLDS, told)
    assert one(await check_identity(ledger)) == (HOLDS, "1 of 1 partition known, unchanged")


async def test_lost(ledger: Ledger) -> None:
    """A loss is told project by project, with the command that accepts it."""
    await append(ledger.queue, "proj_1", 12)
    await append(ledger.queue, "proj_2", 1)
    await ledger.queue.delete(stream_key(0))
    answers = list(await check_balance(ledger._replace(where=" --data-dir /d")))
    entries = f"({stream_key(0)} 2 entries missing)"
    assert [(a.status, a.found) for a in answers] == [
        (BROKEN, f"demo: 12 events accepted and lost {entries}"),
        (BROKEN, f"proj_2: 1 event accepted and lost {entries}"),
    ]
    assert {a.command for a in answers} == {"contox-ingest ledger write-off --data-dir /d"}


async def test_too_many(ledger: Ledger) -> None:
    """More than was accepted is told as that."""
    await append(ledger.queue, "proj_1", 3)
    await ledger.queue.hset(ledger_key(0), mapping={"proj_1|a": 1, "|a": 0})
    told = (
        f"demo: 2 events more than were accepted ({stream_key(0)} 1 entry more than were appended)"
    )
    assert one(await check_balance(ledger)) == (BROKEN, told)


async def test_stored_though_missing(ledger: Ledger, sqlite: AsyncEngine) -> None:
    """Entries that are missing, with all of their events stored, are no more than a warning."""
    await append(ledger.queue, "proj_1")
    await ledger.queue.delete(stream_key(0))
    await SqlEvents(sqlite).write([Row("proj_1", "e", "s", "saved", "{}", None, 1)])
    told = f"{stream_key(0)} 1 entry missing; their events are all stored"
    assert one(await check_balance(ledger)) == (WARNING, told)


async def test_too_long(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is too long to be counted is told so."""
    monkeypatch.setattr(runtime_ledger, "SCAN_ENTRIES_MAX", 0)
    await append(ledger.queue, "proj_1")
    await ledger.queue.delete(stream_key(0))
    told = f"{stream_key(0)} 1 entry missing; the stream is too long to tell whose"
    assert one(await check_balance(ledger)) == (BROKEN, told)


async def test_not_remembered(ledger: Ledger) -> None:
    """A queue that no worker has seen is a warning."""
    await open_ledger(ledger.queue)
    told = f"{stream_key(0)} is not known to the store: no worker has seen it yet"
    assert one(await check_identity(ledger)) == (WARNING, told)


@pytest.mark.parametrize("replaced", [False, True])
async def test_emptied(ledger: Ledger, books: Books, replaced: bool) -> None:
    """FLUSHALL breaks the promise, with what was in flight; a worker then makes it a loss."""
    await append(ledger.queue, "proj_1", 3)
    await watch(books, ledger.queue)
    await ledger.queue.flushall()
    if replaced:
        await open_ledger(ledger.queue)
    what = "was replaced by another" if replaced else "was emptied"
    told = f"{stream_key(0)} {what}; the store remembers 3 events accepted, 3 of them in flight"
    assert one(await check_identity(ledger)) == (BROKEN, told)
    await books.open(0)
    assert one(await check_identity(ledger))[0] is HOLDS
    told = f"demo: 3 events accepted and lost ({stream_key(0)} 1 entry missing)"
    assert one(await check_balance(ledger)) == (BROKEN, told)


async def test_back_without_its_last_writes(ledger: Ledger, books: Books) -> None:
    """A queue whose counts are lower than the store's copy has lost the end of its file."""
    await append(ledger.queue, "proj_1", 3)
    await watch(books, ledger.queue)
    await ledger.queue.hset(ledger_key(0), "proj_1|a", 1)
    told = (
        f"{stream_key(0)} has come back without its last writes:"
        " 2 events fewer were accepted than the store remembers"
    )
    assert one(await check_identity(ledger)) == (BROKEN, told)
