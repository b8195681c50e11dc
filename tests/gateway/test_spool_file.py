"""The spool's file on a real disk: what it keeps, and whom it refuses."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.settings import SettingError
from gateway.spool_file import Held, New, SpoolFile

ROOT = Path(__file__).parents[2]


def new(number: int, *, size: int = 10) -> New:
    """An entry that differs from others by its number."""
    return New(f"proj_{number % 2}", 2, b"header %d" % number, bytes(size))


def headers(file: SpoolFile) -> list[bytes]:
    """What the file holds, in order."""
    return [row.header for row in file.read(0, 10_000, 1 << 30)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory that does not exist yet."""
    return tmp_path / "a" / "spool"


def test_private(directory: Path) -> None:
    """Directory and files are made for the gateway's user alone."""
    file = SpoolFile(directory)
    file.write([new(1)])
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    file.close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert set(modes) == {"spool.lock", "spool.db", "spool.db-wal", "spool.db-shm"}
    assert set(modes.values()) == {0o600}


def test_reopened(directory: Path) -> None:
    """What was written is there after a restart, in order; numbers are not used again."""
    file = SpoolFile(directory)
    file.write([new(n) for n in range(5)])
    file.write([new(5)])
    file.delete(6)
    file.write([new(6), new(7)])
    file.close()
    file = SpoolFile(directory)
    rows = file.read(0, 10, 1 << 20)
    assert [(row.seq, row.header) for row in rows] == [(7, b"header 6"), (8, b"header 7")]
    assert sorted(file.held(0)) == [Held("proj_0", 1, 2, 18), Held("proj_1", 1, 2, 18)]
    assert file.held(8) == []
    file.close()


def test_synced(directory: Path) -> None:
    """A commit is on disk when it returns: WAL with synchronous=FULL."""
    file = SpoolFile(directory)
    settings = [file._db.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS]
    file.close()
    assert settings == ["wal", 2, 2, 1]


PRAGMAS = ("journal_mode", "synchronous", "auto_vacuum", "user_version")


def test_bounds_of_a_read(directory: Path) -> None:
    """A read gives no more than asked for, but one entry of any size."""
    file = SpoolFile(directory)
    file.write([new(n, size=1000) for n in range(9)])
    assert len(file.read(0, 4, 1 << 20)) == 4
    assert len(file.read(0, 9, 3 * 1008)) == 3
    assert len(file.read(0, 9, 3 * 1008 - 1)) == 2
    assert len(file.read(0, 9, 1)) == 1
    assert [row.seq for row in file.read(7, 9, 1 << 20)] == [8, 9]
    assert file.read(9, 9, 1) == []
    file.close()


def test_second_gateway(directory: Path) -> None:
    """A directory belongs to one gateway at a time, and the other one is told what to do."""
    file = SpoolFile(directory)
    with pytest.raises(SettingError, match=r"in use by another gateway.*directory of its own"):
        SpoolFile(directory)
    file.close()
    SpoolFile(directory).close()


def overwrite(path: Path) -> None:
    """Make it something else than a database."""
    path.write_bytes(b"not a database " * 1000)


def damage(path: Path) -> None:
    """Break the pages behind the first ones."""
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * 8192 + content[16384:])


def cut_off(path: Path) -> None:
    """Lose the second half of it."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("breaking", [overwrite, damage, cut_off])
def test_corrupt(directory: Path, breaking: Callable[[Path], None]) -> None:
    """A corrupt file stops the start with its name and what to do, and is left as it is."""
    file = SpoolFile(directory)
    file.write([new(n, size=500) for n in range(200)])
    file.close()
    breaking(file.path)
    content = file.path.read_bytes()
    with pytest.raises(SettingError, match=r"spool\.db is corrupt: .*Move it away"):
        SpoolFile(directory)
    assert file.path.read_bytes() == content
    file.path.rename(directory / "moved away")
    SpoolFile(directory).close()  # which also shows that a refused start lets go of the directory


@pytest.mark.parametrize(
    ("statement", "said"),
    [("PRAGMA user_version=2", "format 2"), ("CREATE TABLE other (x)", "format 0")],
)
def test_other_format(directory: Path, statement: str, said: str) -> None:
    """A file of another version, or of somebody else, is refused and left as it is."""
    directory.mkdir(parents=True)
    with sqlite3.connect(directory / "spool.db") as db:
        db.execute(statement)
    db.close()
    content = (directory / "spool.db").read_bytes()
    with pytest.raises(SettingError, match=rf"spool\.db has the {said}.*move it away"):
        SpoolFile(directory)
    assert (directory / "spool.db").read_bytes() == content


def test_unusable_directory(tmp_path: Path) -> None:
    """What is no directory stops the start with the setting's name."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"CONTOX_SPOOL_DIR .* used: .*Not a directory"):
        SpoolFile(tmp_path / "file")


def test_half_made(directory: Path) -> None:
    """A start that was killed before it had made the tables is made good by the next one."""
    directory.mkdir(parents=True)
    db = sqlite3.connect(directory / "spool.db")
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    db.execute("PRAGMA journal_mode=WAL")
    db.close()
    file = SpoolFile(directory)
    file.write([new(1)])
    file.close()


def test_set_aside(directory: Path) -> None:
    """What cannot be read leaves the order, keeps its bytes and the reason, and is tried again
    by the next start, at its old place."""
    file = SpoolFile(directory)
    file.write([new(n) for n in range(3)])
    file.set_aside(2, "why")
    assert headers(file) == [b"header 0", b"header 2"]
    kept = file._db.execute("SELECT seq, project, events, header, body, why FROM unreadable")
    assert kept.fetchall() == [(2, *new(1), "why")]
    file.close()
    file = SpoolFile(directory)
    assert headers(file) == [b"header 0", b"header 1", b"header 2"]
    file.close()


def test_reclaim(directory: Path) -> None:
    """After the drain the disk is given back, piece by piece."""
    file = SpoolFile(directory)
    file.write([new(n, size=50_000) for n in range(400)])
    file.delete(400)
    pieces = 1
    while file.reclaim():
        pieces += 1
    sizes = {path.name: path.stat().st_size for path in directory.iterdir()}
    file.close()
    assert pieces == 3
    assert sizes["spool.db"] < 50_000
    assert sizes["spool.db-wal"] == 0


def test_half_a_group(directory: Path) -> None:
    """A group is written as a whole or not at all."""
    file = SpoolFile(directory)
    broken = New("proj_1", 1, b"header", None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        file.write([new(1), broken])
    assert headers(file) == []
    file.write([new(2)])
    assert headers(file) == [b"header 2"]
    file.close()


NO_ROOM = """
import resource, sqlite3, sys
from pathlib import Path
from tests.gateway.test_spool_file import SpoolFile, headers, new

file = SpoolFile(Path(sys.argv[1]))
file.write([new(n, size=10_000) for n in range(60)])
size = file.path.with_name("spool.db-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for call in (lambda: file.write([new(60)]), lambda: file.delete(30), file.probe):
    try:
        call()
    except (sqlite3.Error, OSError) as error:
        print(type(error).__name__)
print(len(headers(file)))
file.delete(60)
file.write([new(60)])
print([(row.seq, row.header) for row in file.read(60, 10, 1 << 20)])
file.close()
"""


def test_no_room_to_delete(directory: Path) -> None:
    """Where the disk has no room even to delete, the file is made anew once nothing of it is
    needed; numbers go on, and until then everything stays."""
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "OperationalError",
        "OperationalError",
        "OSError",
        "60",
        "[(61, b'header 60')]",
        "",
    ]
    file = SpoolFile(directory)
    assert headers(file) == [b"header 60"]
    file.close()
