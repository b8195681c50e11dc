"""The spool on a real disk: the contract, its bounds, and a disk that is full or fails."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.codec import BODY, HEADER, Entry, decode
from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.settings import Settings, read
from gateway.spool import Spool, opened
from gateway.spool_file import New, SpoolFile
from tests.contracts.event_queue import ENTRY, Appended, EventQueueContract, entry


def settings_of(directory: Path, **settings: str) -> Settings:
    """Settings with a spool in a directory; given ones have their prefix added."""
    environ = {f"CONTOX_{name.upper()}": value for name, value in settings.items()}
    return read({"CONTOX_SPOOL_DIR": str(directory), **environ})


def on_disk(directory: Path) -> list[Entry]:
    """What another process sees of a spool."""
    db = sqlite3.connect(directory / "spool.db")
    rows = db.execute("SELECT header, body FROM entries ORDER BY seq").fetchall()
    db.close()
    return [decode({HEADER: header, BODY: body}) for header, body in rows]


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """An empty spool in the test's directory."""
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        yield spool


class TestSpool(EventQueueContract):
    """The contract."""

    @pytest.fixture
    def event_queue(self, spool: Spool) -> Spool:
        """A spool."""
        return spool

    @pytest.fixture
    def appended(self, spool: Spool, tmp_path: Path) -> Appended:
        """Reads the file as another process would."""

        async def read_back() -> list[Entry]:
            return on_disk(tmp_path)

        return read_back


async def test_no_directory() -> None:
    """Without a directory there is no spool."""
    async with opened(read({}), Meter("gateway")) as spool:
        assert spool is None


async def test_one_commit_for_all_that_wait(spool: Spool) -> None:
    """Appends share commits: what comes while one is under way waits for the next one."""
    statements: list[str] = []
    spool._file._db.set_trace_callback(statements.append)
    results = await asyncio.gather(*(spool.append(entry(n)) for n in range(300)))
    assert results == ["spooled"] * 300
    assert 1 <= statements.count("COMMIT") <= 2


async def test_counted(spool: Spool) -> None:
    """What is held is known, by project, and on the metrics page."""
    two = msgspec.structs.replace(ENTRY, project="proj_2", count=5)
    for each in (ENTRY, two, two):
        await spool.append(each)
    assert [await spool.events_of(f"proj_{n}") for n in (1, 2, 3)] == [1, 10, 0]
    assert (spool.entries, spool._meter.get(Metric.SPOOL_ENTRIES)) == (3, 3)
    rows = await spool.next_rows(10, 1 << 20)
    size = sum(len(row.header) + len(row.body) for row in rows)
    assert spool.bytes == spool._meter.get(Metric.SPOOL_BYTES) == size
    await spool.acknowledge(rows[:2])
    assert [await spool.events_of(f"proj_{n}") for n in (1, 2)] == [0, 5]
    assert spool._meter.get(Metric.SPOOL_TAKEN) == 3
    assert spool._meter.get(Metric.SPOOL_DRAINED) == 2
    await spool.set_aside(rows[2], "why")
    assert (spool.entries, spool.bytes, spool.unreadable) == (0, 0, 1)
    assert await spool.events_of("proj_2") == 5


async def test_counted_at_the_start(tmp_path: Path) -> None:
    """A start knows what the last process has left."""
    for expected in (0, 1, 2):
        async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
            assert spool is not None
            assert (spool.entries, await spool.events_of("proj_1")) == (expected, expected)
            await spool.append(ENTRY)
            assert spool._meter.get(Metric.SPOOL_ENTRIES) == expected + 1


async def test_bound(tmp_path: Path) -> None:
    """Over its bytes, gathered ones included, the spool refuses, until something leaves it."""
    large = msgspec.structs.replace(ENTRY, body=b"x" * 400_000)
    settings = settings_of(tmp_path, spool_bytes_max=str(1 << 20))
    async with opened(settings, Meter("gateway")) as spool:
        assert spool is not None
        results = await asyncio.gather(
            *(spool.append(large) for _ in range(3)), return_exceptions=True
        )
        assert results[:2] == ["spooled"] * 2
        assert isinstance(results[2], Unavailable)
        assert results[2].reason is Reason.QUEUE_UNAVAILABLE
        assert "the spool is full" in results[2].sentence
        assert spool._meter.get(Metric.SPOOL_FAILURES, "full") == 1
        assert spool.full.startswith("The spool is full: it holds 800,")
        await spool.set_aside((await spool.next_rows(1, 1))[0], "why")
        with pytest.raises(Unavailable):  # it is on the disk as before
            await spool.append(large)
        await spool.acknowledge(await spool.next_rows(1, 1))
        assert not spool.full
        assert await spool.append(large) == "spooled"


async def test_bytes_in_flight(tmp_path: Path) -> None:
    """What waits for the disk is bounded by itself, and so is an entry: no publisher could take
    it later."""
    bound = 2 << 20
    settings = settings_of(tmp_path, inflight_bytes_max=str(bound), decoded_bytes_max=str(bound))
    async with opened(settings, Meter("gateway")) as spool:
        assert spool is not None
        half = msgspec.structs.replace(ENTRY, body=b"x" * (bound // 2))
        results = await asyncio.gather(
            spool.append(half), spool.append(half), return_exceptions=True
        )
        assert results[0] == "spooled"
        assert isinstance(results[1], Unavailable)
        assert results[1].reason is Reason.OVERLOADED
        whole = msgspec.structs.replace(ENTRY, body=b"x" * (bound - 500))
        with pytest.raises(Unavailable, match="in flight"):
            await spool.append(whole)
        assert spool._inflight_bytes == 0


async def test_full_disk(spool: Spool, tmp_path: Path) -> None:
    """A full disk refuses the group and is told; the next write that succeeds ends it."""
    large = msgspec.structs.replace(ENTRY, body=b"x" * 100_000)
    await spool.append(ENTRY)
    spool._file._db.execute("PRAGMA max_page_count=10")  # SQLITE_FULL, as from a full disk
    results = await asyncio.gather(*(spool.append(large) for _ in range(3)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert [error.reason for error in refused] == [Reason.QUEUE_UNAVAILABLE] * 3
    assert "the spool cannot be written" in refused[0].sentence
    assert spool._meter.get(Metric.SPOOL_FAILURES, "full") == 3
    assert spool.away == "The spool cannot be written: database or disk is full"
    assert spool._inflight_bytes == 0
    spool._file._db.execute("PRAGMA max_page_count=100000")
    assert await spool.append(large) == "spooled"
    assert not spool.away
    assert on_disk(tmp_path) == [ENTRY, large]


async def test_disk_that_fails(spool: Spool, tmp_path: Path) -> None:
    """Any other failure is counted apart; a probe tells when it is over."""
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # a lock that stays: SQLITE_BUSY
    with pytest.raises(Unavailable):
        await spool.append(ENTRY)
    assert spool._meter.get(Metric.SPOOL_FAILURES, "disk") == 1
    with pytest.raises(Unavailable):
        await spool.probe()
    assert "locked" in spool.away
    other.execute("ROLLBACK")
    other.close()
    await spool.probe()
    assert not spool.away
    assert await spool.append(ENTRY) == "spooled"
    assert not (tmp_path / "spool.probe").exists()


async def test_deletion_that_fails(spool: Spool, tmp_path: Path) -> None:
    """What was acknowledged is not given again, and is deleted when the disk works again."""
    for number in range(3):
        await spool.append(entry(number))
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await spool.acknowledge(await spool.next_rows(2, 1 << 20))
    other.execute("ROLLBACK")
    other.close()
    assert spool.away
    assert [row.seq for row in await spool.next_rows(9, 1 << 20)] == [3]
    assert len(on_disk(tmp_path)) == 3
    await spool.tidy()
    assert on_disk(tmp_path) == [entry(2)]
    assert not spool.away


async def test_waiter_that_left(spool: Spool, tmp_path: Path) -> None:
    """A request that is cancelled while it waits disturbs neither its group nor the bound."""
    leaving = asyncio.create_task(spool.append(entry(1)))
    staying = asyncio.create_task(spool.append(entry(2)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "spooled"
    assert spool._inflight_bytes == 0
    assert on_disk(tmp_path) == [entry(1), entry(2)]


async def test_close_finishes(tmp_path: Path) -> None:
    """Appends under way are finished by the close, later ones are refused; the file stays."""
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        appends = [asyncio.create_task(spool.append(entry(n))) for n in range(50)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*appends) == ["spooled"] * 50
    with pytest.raises(Unavailable) as refused:
        await spool.append(ENTRY)
    assert refused.value.reason is Reason.SHUTTING_DOWN
    assert on_disk(tmp_path) == [entry(n) for n in range(50)]


async def test_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk does not answer, requests are refused after a bound, not held; what it was
    given is written when it does answer, and then the spool takes more."""
    release = threading.Event()
    write = SpoolFile.write

    def hanging(file: SpoolFile, entries: list[New]) -> None:
        release.wait(20)
        write(file, entries)

    monkeypatch.setattr(SpoolFile, "write", hanging)
    async with opened(settings_of(tmp_path, append_timeout_s="1"), Meter("gateway")) as spool:
        assert spool is not None
        appends = [asyncio.create_task(spool.append(entry(n))) for n in range(2)]
        await asyncio.sleep(0.1)
        appends.append(asyncio.create_task(spool.append(entry(2))))  # for the next group
        async with asyncio.timeout(5):
            results = await asyncio.gather(*appends, return_exceptions=True)
        assert [getattr(r, "reason", r) for r in results] == [Reason.QUEUE_UNAVAILABLE] * 3
        assert spool.away == "The spool cannot be written: no answer within 1 s"
        assert spool._meter.get(Metric.SPOOL_FAILURES, "disk") == 3
        release.set()
        assert await spool.append(entry(3)) == "spooled"
        assert (spool.entries, spool._inflight_bytes, spool.away) == (4, 0, "")
    assert on_disk(tmp_path) == [entry(n) for n in range(4)]


async def test_bug_in_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw is logged, and leaves no request waiting: its group's are
    refused, and those that gathered meanwhile are written."""
    failing = [ValueError("a bug")]
    write = SpoolFile.write

    def once(file: SpoolFile, entries: list[New]) -> None:
        if failing:
            time.sleep(0.1)  # for the next group to gather
            raise failing.pop()
        write(file, entries)

    monkeypatch.setattr(SpoolFile, "write", once)
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        first = asyncio.create_task(spool.append(entry(1)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            assert await spool.append(entry(2)) == "spooled"
            with pytest.raises(Unavailable):
                await first
        assert spool._inflight_bytes == 0
    assert "ValueError: a bug" in "".join(capsys.readouterr())
    assert on_disk(tmp_path) == [entry(2)]
