"""The spool's files: entries that were accepted while the queue was away, in SQLite.

    spool.lock   flock, held for as long as a gateway has the directory
    spool.db     SQLite in WAL mode; PRAGMA user_version is 1, others are refused
        entries     seq | project | events | header | body         in the order of acceptance
        unreadable  seq | project | events | header | body | why   entries that no longer decode
    header, body as core/codec.py writes them; events is how many the entry holds

Requirements  What was written survives kill -9 and a power cut; two gateways never share a file;
              a file that we do not understand is left as it is.
Solution      One transaction per group, synced (synchronous=FULL); a lock; user_version and a
              check of the file at the start.
Cost          SQLite needs room to delete, too. On a full disk nothing can be deleted until the
              queue has everything; then the file is made anew.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from core.settings import SettingError

FORMAT = 1
BUSY_MS = 1_000  # for an operator who looks into the file meanwhile
RECLAIM_PAGES = 2_048  # at a time, so that appends get their turn
PROBE_BYTES = 1 << 20
MOVE_ENTRIES_MAX, MOVE_BYTES_MAX = 5_000, 4 << 20  # at a time, so that appends get their turn
COLUMNS = "seq, project, events, header, body"
TABLE = "project TEXT NOT NULL, events INTEGER NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL"
CREATE = (
    f"CREATE TABLE entries (seq INTEGER PRIMARY KEY AUTOINCREMENT, {TABLE})",
    f"CREATE TABLE unreadable (seq INTEGER PRIMARY KEY, {TABLE}, why TEXT NOT NULL)",
    f"PRAGMA user_version={FORMAT}",
)
READ = f"SELECT {COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
SET_ASIDE = (
    f"INSERT INTO unreadable ({COLUMNS}, why)"  # noqa: S608
    f" SELECT {COLUMNS}, ? FROM entries WHERE seq = ?"
)
RETRY = f"INSERT INTO entries SELECT {COLUMNS} FROM unreadable"  # noqa: S608
NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # IOERR also for a quota
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class New(NamedTuple):
    """An entry to be written."""

    project: str
    events: int
    header: bytes
    body: bytes


class Row(NamedTuple):
    """An entry as it is held."""

    seq: int
    project: str
    events: int
    header: bytes
    body: bytes


class Held(NamedTuple):
    """What is held of one project; bytes are those of headers and bodies."""

    project: str
    entries: int
    events: int
    bytes: int


class SpoolFile:
    """The open spool of a directory. Blocking, and for one thread at a time.

    Calls raise sqlite3.Error or OSError if the disk fails or is full; nothing has changed then.
    """

    def __init__(self, directory: Path) -> None:
        """Open the spool, made if it is missing. Raises SettingError if it cannot be used."""
        self._directory = directory
        self.path = directory / "spool.db"
        self._stale_seq: int | None = None  # set while the file is to be made anew
        try:
            self._lock = _locked(directory)
        except OSError as error:
            raise SettingError(f"CONTOX_SPOOL_DIR {directory} cannot be used: {error}.") from None
        try:
            self._db = self._open()
        except BaseException:  # whatever it was, the lock must not outlive it; raised on
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file and let go of the directory."""
        self._db.close()
        os.close(self._lock)

    def write(self, entries: list[New]) -> None:
        """Add entries, all or none, in their order; they are on disk when it returns."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO entries (project, events, header, body) VALUES (?, ?, ?, ?)", entries
            )

    def read(self, after_seq: int, entries_max: int, bytes_max: int) -> list[Row]:
        """The next entries in order, at least one if there is any; else within both bounds."""
        rows: list[Row] = []
        size = 0
        for found in self._db.execute(READ, (after_seq, entries_max)):
            row = Row(*found)
            size += len(row.header) + len(row.body)
            if rows and size > bytes_max:
                break
            rows.append(row)
        return rows

    def held(self, after_seq: int) -> list[Held]:
        """What is held, by project."""
        query = (
            "SELECT project, count(*), sum(events), sum(length(header) + length(body))"
            " FROM entries WHERE seq > ? GROUP BY project"
        )
        return [Held(*found) for found in self._db.execute(query, (after_seq,))]

    def delete(self, to_seq: int) -> None:
        """Delete the entries up to this one; where the disk has no room for that, the whole file if
        nothing else is in it."""
        if self._stale_seq is None:
            try:
                with self._transaction():
                    self._db.execute("DELETE FROM entries WHERE seq <= ?", (to_seq,))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in NO_ROOM or self._keeps_more_than(to_seq):
                    raise
                self._db.close()
                self._stale_seq = to_seq
        if self._stale_seq is not None:
            self._renew(self._stale_seq)

    def take_over(self, other: "SpoolFile") -> list[Row]:
        """Move the oldest entries of another file behind those here, within the bounds of a move;
        returns them. Written before they are deleted: a crash in between doubles, and loses none.
        """
        if rows := other.read(0, MOVE_ENTRIES_MAX, MOVE_BYTES_MAX):
            self.write([New(*row[1:]) for row in rows])
            other.delete(rows[-1].seq)
        return rows

    def set_aside(self, seq: int, why: str) -> None:
        """Move an entry to those that cannot be read."""
        with self._transaction():
            self._db.execute(SET_ASIDE, (why, seq))
            self._db.execute("DELETE FROM entries WHERE seq = ?", (seq,))

    def reclaim(self) -> bool:
        """Give disk space back to the system, a bounded piece; whether more can be given back."""
        # executescript steps to the end; execute would stop after the first page
        self._db.executescript(f"PRAGMA incremental_vacuum({RECLAIM_PAGES})")
        if self._number("PRAGMA freelist_count"):
            return True
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return False

    def probe(self) -> None:
        """Show that there is room on the disk and that the file can be written."""
        scratch = self._directory / "spool.probe"
        try:
            scratch.write_bytes(bytes(PROBE_BYTES))
        finally:
            with suppress(OSError):
                scratch.unlink()
        if self._stale_seq is not None:
            self._renew(self._stale_seq)
        with self._transaction():
            self._db.execute(f"PRAGMA user_version={FORMAT}")

    def _open(self) -> sqlite3.Connection:
        try:
            db = self._connect()
            try:
                self._db = db
                self._check_format()
                self._retry_unreadable()
            except BaseException:  # whatever it was, the file must not stay open; raised on
                db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
                raise self._damaged(str(error)) from None
            raise SettingError(f"{self.path} (CONTOX_SPOOL_DIR) cannot be used: {error}.") from None
        return db

    def _connect(self) -> sqlite3.Connection:
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        return db

    def _check_format(self) -> None:
        """Make the tables in a new file; raise SettingError for what is neither new nor ours."""
        version = self._number("PRAGMA user_version")
        is_new = version == 0 and not self._number("SELECT count(*) FROM sqlite_schema")
        if not is_new and version != FORMAT:
            raise SettingError(
                f"{self.path} has the format {version}, and this version knows {FORMAT} only."
                " Start the version that wrote it, or move it away; nothing has been deleted."
            )
        if is_new:
            self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if is_new:
            with self._transaction():
                for statement in CREATE:
                    self._db.execute(statement)
            return
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise self._damaged(" ".join(str(found).split()))

    def _damaged(self, how: str) -> SettingError:
        return SettingError(
            f"{self.path} is corrupt: {how}. Move it away together with its -wal file, and"
            " start again; nothing has been deleted, and sqlite3's .recover may read what it holds."
        )

    def _retry_unreadable(self) -> None:
        """Another version of ours may read what the last one could not."""
        if not self._number("SELECT count(*) FROM unreadable"):
            return
        with self._transaction():
            self._db.execute(RETRY)
            self._db.execute("DELETE FROM unreadable")

    def _keeps_more_than(self, to_seq: int) -> bool:
        wanted = "SELECT EXISTS (SELECT 1 FROM entries WHERE seq > ?)"
        (more,) = self._db.execute(wanted, (to_seq,)).fetchone()
        return bool(more) or bool(self._number("SELECT count(*) FROM unreadable"))

    def _renew(self, last_seq: int) -> None:
        """Replace the closed file, of which nothing is needed any more, by an empty one."""
        for suffix in ("", "-wal", "-shm"):  # SQLite drops a -wal that has lost its file
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self._db = self._connect()
        self._check_format()
        self._db.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (last_seq,))
        self._stale_seq = None

    def _number(self, query: str) -> int:
        (number,) = self._db.execute(query).fetchone()
        return int(number)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:  # whatever it was, nothing of it may be committed later; raised on
            if self._db.in_transaction:  # some failures have ended it already
                self._db.execute("ROLLBACK")
            raise


def _locked(directory: Path) -> int:
    """The descriptor that holds the directory, which is made if it is missing."""
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True)
        parent = os.open(directory.parent, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)
    lock = os.open(directory / "spool.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise
        raise SettingError(
            f"CONTOX_SPOOL_DIR {directory} is in use by another gateway."
            " Give each gateway a directory of its own, or stop the other one."
        ) from None
    return lock
