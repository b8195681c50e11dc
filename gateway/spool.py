"""The spool: takes entries on the local disk while the queue cannot be reached.

Requirements  An entry is answered only once it is on disk; a sync must be shared by all that wait
              for it; memory and disk are bounded; a disk that fails must not end the process.
Solution      Group commit, as in gateway/publisher.py: while one group is being committed, the next
              gathers. The file has a thread of its own, so that neither the loop nor a name lookup
              waits for it. gateway/spool_drain.py empties it.
Cost          A group waits for the disk's sync, and the one before it.
"""

import asyncio
import errno
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from core.codec import Entry, encode_header
from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.ports import Bundle, Receipt
from core.settings import Settings
from gateway.receipts import Telling, put_each
from gateway.spool_file import New, Row, SpoolFile
from runtime.log import Throttle, get_log

log = get_log()
DURABILITY = "spooled"
COMMAND_BYTES = 4_096  # more than a publisher needs around an entry: what it cannot take, we do not
DISK_ERRORS = (sqlite3.Error, OSError)
FULL = "The queue cannot be reached, and the spool is full; retry later"
FAILED = "The queue cannot be reached, and the spool cannot be written; retry later"
Result = TypeVar("Result")


class _Append(NamedTuple):
    entry: New
    done: asyncio.Future[str]

    @property
    def bytes(self) -> int:
        return len(self.entry.header) + len(self.entry.body)


class Spool:
    """The EventQueue port on a local disk. `opened` makes one."""

    def __init__(
        self, file: SpoolFile, thread: ThreadPoolExecutor, settings: Settings, meter: Meter
    ) -> None:
        self._file = file
        self._thread = thread
        self._bytes_max = settings.spool_bytes_max
        self._inflight_bytes_max = settings.inflight_bytes_max
        self._timeout_s = settings.append_timeout_s
        self._meter = meter
        self._throttle = Throttle(10)
        self._gathered: list[_Append] = []
        self._inflight_bytes = 0  # gathered, or being committed
        self._committing: asyncio.Task[None] | None = None
        self._closed = False
        self._events: Counter[str] = Counter()
        self._unreadable_bytes = 0
        self._acknowledged_seq = 0  # the queue has all up to here
        self._deleted_seq = 0
        self.entries = 0  # on disk, and not in the queue yet
        self.bytes = 0
        self.unreadable = 0
        self.untidy = False  # whether something waits to be deleted, or disk to be given back
        self.away = ""  # why the disk failed last, or empty
        self.full = ""  # once an entry was refused for the bound, until the drain makes room
        self._telling = Telling()

    def put(self, entry: Entry, receipt: Receipt) -> None:
        """See core.ports.EventQueue."""
        self._telling.start(self.append(entry), receipt)

    def put_all(self, bundle: Bundle) -> None:
        """See core.ports.EventQueue."""
        put_each(self, bundle)

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        append = _Append(
            New(entry.project, entry.count, encode_header(entry), entry.body),
            asyncio.get_running_loop().create_future(),
        )
        self._check_room(append.bytes)
        self._inflight_bytes += append.bytes
        self._gathered.append(append)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        try:
            async with asyncio.timeout(self._timeout_s):
                return await append.done
        except TimeoutError:  # it may be written yet: a retry of the same events is harmless
            self.away = f"The spool cannot be written: no answer within {self._timeout_s} s"
            self._meter.add(Metric.SPOOL_FAILURES, 1, "disk")
            raise Unavailable(Reason.QUEUE_UNAVAILABLE, FAILED) from None

    async def events_of(self, project_id: str) -> int:
        """How many events of a project are held here, and are not in the queue yet."""
        return self._events[project_id]

    async def next_rows(self, entries_max: int, bytes_max: int) -> list[Row]:
        """The oldest entries that are not acknowledged, at least one if there is any.

        Raises Unavailable, as all that follow.
        """
        return await self.call(self._file.read, self._acknowledged_seq, entries_max, bytes_max)

    async def acknowledge(self, rows: list[Row]) -> None:
        """Delete what the queue has. A disk that fails is told by `away`: the rows are not given
        again all the same, until a restart."""
        self._acknowledged_seq = rows[-1].seq
        self._release(rows)
        self.untidy = True
        self._meter.add(Metric.SPOOL_DRAINED, len(rows))
        with suppress(Unavailable):
            await self._delete()

    async def set_aside(self, row: Row, why: str) -> None:
        """Keep an entry that cannot be read apart, for an operator."""
        await self.call(self._file.set_aside, row.seq, why)
        size = len(row.header) + len(row.body)
        self.unreadable += 1
        self._unreadable_bytes += size
        self._events[row.project] += row.events  # it is held as before
        self._release([row])
        log.error("spooled entry cannot be read", seq=row.seq, project=row.project, why=why)

    async def tidy(self) -> None:
        """Delete what could not be deleted before, and give the disk back."""
        await self._delete()
        while await self.call(self._file.reclaim):
            pass
        self.untidy = False

    async def probe(self) -> None:
        """Try whether the disk can be written again."""
        await self.call(self._file.probe)
        self._come_back()

    async def count(self) -> None:
        """Learn from the file what is held."""
        held = await self.call(self._file.held, self._acknowledged_seq)
        self._events = Counter({found.project: found.events for found in held})
        self.entries = sum(found.entries for found in held)
        self.bytes = sum(found.bytes for found in held)
        self._show()

    async def take_over(self, other: SpoolFile) -> int:
        """Move the oldest entries of another spool behind those here; returns how many. After an
        Unavailable call `count`: some may have been moved."""
        rows = await self.call(self._file.take_over, other)
        for row in rows:
            self._add(row.project, row.events, len(row.header) + len(row.body))
        self._show()
        return len(rows)

    @property
    def has_room(self) -> bool:
        """Whether less is held than the bound."""
        return self.bytes < self._bytes_max

    async def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run what uses a file in the file's thread. Raises Unavailable, the cause with it, where
        the disk fails."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, function, *arguments)
        except DISK_ERRORS as error:
            self.away = f"The spool cannot be written: {error}"
            if (held_back := self._throttle.held_back("failed")) is not None:
                log.error("spool failed", error=str(error), held_back=held_back)  # noqa: TRY400
            raise Unavailable(Reason.QUEUE_UNAVAILABLE, FAILED) from error

    async def close(self) -> None:
        """Finish what was gathered, refuse what comes, and close; the file stays."""
        self._closed = True
        if self._committing is not None:
            await self._committing
        with suppress(Unavailable):
            await self.call(self._file.close)
        if self.entries:
            log.warning("entries stay spooled", entries=self.entries, bytes=self.bytes)

    def _check_room(self, size: int) -> None:
        if self._closed:
            raise Unavailable(Reason.SHUTTING_DOWN)
        if self._inflight_bytes + size + COMMAND_BYTES > self._inflight_bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        held = self.bytes + self._unreadable_bytes + self._inflight_bytes
        if held + size > self._bytes_max:
            self._meter.add(Metric.SPOOL_FAILURES, 1, "full")
            self.full = f"The spool is full: it holds {held:,} of {self._bytes_max:,} bytes"
            if (held_back := self._throttle.held_back("full")) is not None:
                log.error("spool full", bytes=held, bytes_max=self._bytes_max, held_back=held_back)
            raise Unavailable(Reason.QUEUE_UNAVAILABLE, FULL)

    async def _commit(self) -> None:
        """Commit group after group until nothing has gathered."""
        while self._gathered:
            group, self._gathered = self._gathered, []
            failure: Unavailable | None = Unavailable()  # a bug leaves nobody waiting either
            try:
                await self.call(self._file.write, [append.entry for append in group])
                self._come_back()
                failure = None
            except Unavailable as error:
                failure = error
                code = "full" if _is_full(error.__cause__) else "disk"
                self._meter.add(Metric.SPOOL_FAILURES, len(group), code)
            except Exception:  # a bug: said loudly, and no reason to leave the next group waiting
                log.exception("spool failed")
            self._settle(group, failure)

    def _settle(self, group: list[_Append], failure: Unavailable | None) -> None:
        """Answer a group; a request may have gone meanwhile."""
        self._inflight_bytes -= sum(append.bytes for append in group)
        if failure is None:
            if not self.entries and self._throttle.held_back("begins") is not None:
                log.warning("entries are spooled, since the queue cannot be reached")
            for append in group:
                self._add(append.entry.project, append.entry.events, append.bytes)
            self._meter.add(Metric.SPOOL_TAKEN, len(group))
            self._show()
        for append in group:
            if append.done.done():
                continue
            if failure is None:
                append.done.set_result(DURABILITY)
            else:
                append.done.set_exception(Unavailable(failure.reason, failure.sentence))

    def _add(self, project: str, events: int, size: int) -> None:
        self.entries += 1
        self.bytes += size
        self._events[project] += events

    def _release(self, rows: list[Row]) -> None:
        """Rows no longer wait for the queue."""
        for row in rows:
            self.entries -= 1
            self.bytes -= len(row.header) + len(row.body)
            self._events[row.project] -= row.events
            if self._events[row.project] <= 0:
                del self._events[row.project]
        self.full = ""
        self._show()

    async def _delete(self) -> None:
        if self._deleted_seq < self._acknowledged_seq:
            to_seq = self._acknowledged_seq
            await self.call(self._file.delete, to_seq)
            self._deleted_seq = to_seq
            self._come_back()

    def _come_back(self) -> None:
        if self.away:
            log.info("spool can be written again")
        self.away = ""

    def _show(self) -> None:
        self._meter.set(Metric.SPOOL_ENTRIES, self.entries)
        self._meter.set(Metric.SPOOL_BYTES, self.bytes)


@asynccontextmanager
async def opened(settings: Settings, meter: Meter) -> AsyncIterator[Spool | None]:
    """The spool of the settings, or None if they name no directory. Raises SettingError."""
    if not settings.spool_dir:
        yield None
        return
    with ThreadPoolExecutor(1, "spool") as thread:
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(thread, SpoolFile, Path(settings.spool_dir))
        spool = Spool(file, thread, settings, meter)
        try:
            await spool.count()
            log.info("spool opened", path=str(file.path), entries=spool.entries, bytes=spool.bytes)
            yield spool
        finally:
            await spool.close()


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk has no room, as opposed to not working."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
