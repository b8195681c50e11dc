"""The drain from a real spool into the port's fake, which fails where a test wants it to."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from core.codec import Entry
from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.testing import MemoryQueue
from gateway import spool_drain
from gateway.spool import Spool, opened
from gateway.spool_drain import SpoolDrain
from tests.contracts.event_queue import ENTRY, entry
from tests.gateway.conftest import until
from tests.gateway.test_spool import on_disk, settings_of


class Queue(MemoryQueue):
    """A queue that may be away, and that takes so many entries before it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.away = ""
        self.takes = 1_000_000

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        self.failing = None if self.takes else Unavailable(Reason.OVERLOADED)
        durability = await super().append(entry)
        self.takes -= 1
        return durability


class Room:
    """Whether the drain may go on."""

    def __init__(self) -> None:
        self.free = True

    def __call__(self) -> bool:
        """What the drain asks."""
        return self.free


@asynccontextmanager
async def draining(
    directory: Path, queue: Queue, may_drain: Callable[[], bool] = lambda: True, **settings: str
) -> AsyncIterator[Spool]:
    """A spool that drains into `queue`."""
    wanted = settings_of(directory, **settings)
    async with opened(wanted, Meter("gateway")) as spool:
        assert spool is not None
        drain = SpoolDrain(spool, queue, wanted, may_drain=may_drain)
        task = asyncio.create_task(drain.run())
        try:
            yield spool
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def fill(directory: Path, entries: list[Entry]) -> None:
    """Leave a spool with entries, as a process that has ended."""
    async with opened(settings_of(directory), Meter("gateway")) as spool:
        assert spool is not None
        await asyncio.gather(*(spool.append(each) for each in entries))


async def test_order(tmp_path: Path) -> None:
    """What one process has spooled is drained by the next one, in order, once; disk is freed."""
    entries = [entry(n) for n in range(1234)]
    await fill(tmp_path, entries[:700])
    await fill(tmp_path, entries[700:])
    before = (tmp_path / "spool.db").stat().st_size
    queue = Queue()
    async with draining(tmp_path, queue) as spool:
        await until(lambda: not spool.entries and not spool.untidy)
        assert spool._meter.get(Metric.SPOOL_DRAINED) == 1234
        assert (tmp_path / "spool.db").stat().st_size < before / 10
    assert queue.entries == entries
    assert on_disk(tmp_path) == []


async def test_pieces(tmp_path: Path) -> None:
    """No more than a quarter of the queue's bytes in flight is appended at a time, in one turn."""
    turns: list[int] = []

    class Counting(Queue):
        async def append(self, entry: Entry) -> str:
            if not turns or turns[-1] == 0:
                turns.append(0)
                asyncio.get_running_loop().call_soon(turns.append, 0)
            turns[-1] += 1
            return await super().append(entry)

    large = msgspec.structs.replace(ENTRY, body=b"x" * 100_000)
    await fill(tmp_path, [large] * 40)
    async with draining(
        tmp_path, Counting(), inflight_bytes_max=str(2 << 20), decoded_bytes_max=str(2 << 20)
    ) as spool:
        await until(lambda: not spool.entries)
    assert [count for count in turns if count] == [5] * 8


async def test_waits(tmp_path: Path) -> None:
    """Nothing is drained while the queue is away, or while there is no room in it."""
    await fill(tmp_path, [ENTRY])
    queue, room = Queue(), Room()
    queue.away = "away"
    async with draining(tmp_path, queue, room) as spool:
        await asyncio.sleep(2.5 * spool_drain.POLL_S)
        assert (queue.entries, spool.entries) == ([], 1)
        queue.away, room.free = "", False
        await asyncio.sleep(2.5 * spool_drain.POLL_S)
        assert (queue.entries, spool.entries) == ([], 1)
        room.free = True
        await until(lambda: not spool.entries)
    assert queue.entries == [ENTRY]


async def test_failure(tmp_path: Path) -> None:
    """At a failure the rest stays, in order; what the queue has taken is not sent again."""
    entries = [entry(n) for n in range(10)]
    await fill(tmp_path, entries)
    queue = Queue()
    queue.takes = 4
    async with draining(tmp_path, queue) as spool:
        await until(lambda: on_disk(tmp_path) == entries[4:])
        assert spool.entries == 6
        queue.takes = 100
        await until(lambda: not spool.entries)
    assert queue.entries == entries


async def test_killed_before_the_deletion(tmp_path: Path) -> None:
    """What was appended but not deleted is appended again by the next process: never lost."""
    entries = [entry(n) for n in range(3)]
    await fill(tmp_path, entries)
    queue = Queue()
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        for _ in await spool.next_rows(10, 1 << 20):
            await queue.append(ENTRY)
    async with draining(tmp_path, queue) as spool:
        await until(lambda: not spool.entries)
    assert queue.entries[3:] == entries


async def test_cannot_be_read(tmp_path: Path) -> None:
    """An entry that does not decode is kept apart, and holds up none of its neighbours."""
    entries = [entry(n) for n in range(5)]
    await fill(tmp_path, entries)
    db = sqlite3.connect(tmp_path / "spool.db")
    db.execute("UPDATE entries SET header = CAST('9|future' AS BLOB) WHERE seq IN (1, 4)")
    db.commit()
    db.close()
    queue = Queue()
    async with draining(tmp_path, queue) as spool:
        await until(lambda: not spool.entries)
        assert (spool.unreadable, await spool.events_of("proj_1")) == (2, 2)
    assert queue.entries == [entries[1], entries[2], entries[4]]
    db = sqlite3.connect(tmp_path / "spool.db")
    kept = db.execute("SELECT seq, body, why FROM unreadable").fetchall()
    db.close()
    why = "the entry's version is '9', not '1'"
    assert kept == [(1, ENTRY.body, why), (4, ENTRY.body, why)]


async def test_deleted_by_an_operator(tmp_path: Path) -> None:
    """Entries that somebody else has deleted are missed, and the count is put right."""
    await fill(tmp_path, [ENTRY] * 3)
    queue = Queue()
    queue.away = "away"
    async with draining(tmp_path, queue) as spool:
        db = sqlite3.connect(tmp_path / "spool.db")
        db.execute("DELETE FROM entries")
        db.commit()
        db.close()
        queue.away = ""
        await until(lambda: not spool.entries)
        assert spool.bytes == 0


async def test_disk_that_fails(tmp_path: Path) -> None:
    """A disk that fails does not end the drain: each entry goes to the queue once, and what had
    to stay is deleted when the disk works again."""
    entries = [entry(n) for n in range(3)]
    await fill(tmp_path, entries)
    queue = Queue()
    queue.away = "away"
    async with draining(tmp_path, queue) as spool:
        other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        queue.away = ""
        await until(lambda: bool(spool.away))
        assert on_disk(tmp_path) == entries
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: not spool.away and not spool.untidy)
    assert queue.entries == entries
    assert on_disk(tmp_path) == []


async def test_probes(tmp_path: Path) -> None:
    """A disk that works again is noticed without a request, while the queue is away."""
    queue = Queue()
    queue.away = "away"
    async with draining(tmp_path, queue) as spool:
        spool._file._db.execute("PRAGMA max_page_count=1")
        with pytest.raises(Unavailable):
            await spool.append(msgspec.structs.replace(ENTRY, body=bytes(50_000)))
        assert spool.away
        await until(lambda: not spool.away)
