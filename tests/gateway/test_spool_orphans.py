"""Spools that nobody's process is left for, on a real disk."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from core.codec import BODY, HEADER, Entry, decode, encode_header
from core.metrics import Meter, Metric
from gateway.spool import Spool, opened
from gateway.spool_file import New, SpoolFile
from gateway.spool_orphans import adopt, directory_of, orphans
from tests.contracts.event_queue import entry
from tests.gateway.test_spool import on_disk, settings_of


def leave(directory: Path, *entries: Entry) -> None:
    """What a process with this spool leaves behind."""
    file = SpoolFile(directory)
    file.write([New(e.project, e.count, encode_header(e), e.body) for e in entries])
    file.close()


def test_directories() -> None:
    """The first process has the directory itself, as a gateway that is one process has."""
    assert [directory_of("/s", n) for n in (0, 1, 12)] == ["/s", "/s/process-1", "/s/process-12"]
    assert directory_of("", 3) == ""


def test_orphans(tmp_path: Path) -> None:
    """Those beyond the count are orphans, in order; what has another name is not ours."""
    for name in ("process-2", "process-10", "process-1", "process-0", "process-x", "other"):
        (tmp_path / name).mkdir()
    found = [[path.name for path in orphans(tmp_path, count)] for count in (1, 2, 3, 11)]
    assert found == [
        ["process-1", "process-2", "process-10"],
        ["process-2", "process-10"],
        ["process-10"],
        [],
    ]


async def test_adopted(tmp_path: Path) -> None:
    """With fewer processes than before, all that the others held is in the first one's spool, in
    order, counted, and their directories are gone."""
    leave(tmp_path, entry(0))
    leave(tmp_path / "process-1", entry(1))
    leave(tmp_path / "process-2", *(entry(n) for n in range(2, 12_000)))
    leave(tmp_path / "process-3")
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        await adopt(spool, tmp_path, 2)
        assert (spool.entries, spool._meter.get(Metric.SPOOL_ENTRIES)) == (11_999, 11_999)
        assert await spool.events_of("proj_1") == 11_999
        size = spool.bytes
        await spool.count()
        assert (spool.entries, spool.bytes) == (11_999, size)
    assert on_disk(tmp_path) == [entry(0), *(entry(n) for n in range(2, 12_000))]
    assert on_disk(tmp_path / "process-1") == [entry(1)]
    assert sorted(path.name for path in tmp_path.glob("process-*")) == ["process-1"]


async def test_while_it_serves(tmp_path: Path) -> None:
    """Appends go on meanwhile, and the spool's count stays right."""
    leave(tmp_path / "process-1", *(entry(n) for n in range(8_000)))
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        adopting = asyncio.create_task(adopt(spool, tmp_path, 1))
        for number in range(20):
            assert await spool.append(entry(number)) == "spooled"
        await adopting
        assert spool.entries == 8_020
    assert len(on_disk(tmp_path)) == 8_020


async def test_disk_that_fails(tmp_path: Path) -> None:
    """While the disk fails nothing is lost or counted twice; it goes on when the disk does."""
    leave(tmp_path / "process-1", *(entry(n) for n in range(3)))
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        adopting = asyncio.create_task(adopt(spool, tmp_path, 1))
        async with asyncio.timeout(10):
            while not spool.away:
                await asyncio.sleep(0.02)
        other.execute("ROLLBACK")
        other.close()
        async with asyncio.timeout(10):
            await adopting
        assert spool.entries == 3
    assert on_disk(tmp_path) == [entry(n) for n in range(3)]


async def test_deletion_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure between the copy and the deletion may double entries, and the count knows it."""
    leave(tmp_path / "process-1", entry(1))
    failures = [sqlite3.OperationalError("disk I/O error")]
    delete = SpoolFile.delete

    def failing(file: SpoolFile, to_seq: int) -> None:
        if failures:
            raise failures.pop()
        delete(file, to_seq)

    monkeypatch.setattr(SpoolFile, "delete", failing)
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        await adopt(spool, tmp_path, 1)
        assert spool.entries == 2
    assert on_disk(tmp_path) == [entry(1), entry(1)]


async def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool at its bound takes nothing over until the drain has made room."""
    leave(tmp_path / "process-1", entry(1))
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        await spool.append(entry(0))
        bound, spool._bytes_max = spool._bytes_max, spool.bytes
        adopting = asyncio.create_task(adopt(spool, tmp_path, 1))
        await asyncio.sleep(0.3)
        assert (spool.entries, adopting.done()) == (1, False)
        spool._bytes_max = bound
        await asyncio.wait_for(adopting, 5)
        assert spool.entries == 2


@pytest.mark.parametrize("how", ["locked", "corrupt"])
async def test_cannot_be_opened(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is in use or corrupt stays as it is and is told; the next one is adopted."""
    leave(tmp_path / "process-1", entry(1))
    leave(tmp_path / "process-2", entry(2))
    held = SpoolFile(tmp_path / "process-1") if how == "locked" else None
    if not held:
        (tmp_path / "process-1/spool.db").write_bytes(b"no database" * 1000)
    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert isinstance(spool, Spool)
        await adopt(spool, tmp_path, 1)
        assert spool.entries == 1
    assert "spool cannot be adopted" in "".join(capsys.readouterr())
    if held:
        held.close()
    assert (tmp_path / "process-1/spool.db").exists()
    assert on_disk(tmp_path) == [entry(2)]


def test_rows_decode(tmp_path: Path) -> None:
    """What is moved is byte for byte what was written."""
    leave(tmp_path / "a", entry(1))
    source, target = SpoolFile(tmp_path / "a"), SpoolFile(tmp_path / "b")
    (row,) = target.take_over(source)
    assert decode({HEADER: row.header, BODY: row.body}) == entry(1)
    assert (target.take_over(source), source.read(0, 9, 9)) == ([], [])
    source.close()
    target.close()
