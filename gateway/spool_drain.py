"""Empties the spool into the queue, in order, while new events go to the queue past it.

Requirements  An entry leaves the spool only once the queue has it; the spool's order is kept; the
              drain takes no more than its share of the queue, and stops while there is no room.
Solution      A bounded piece at a time, appended in one turn of the loop, so that the publisher
              commits it as a whole; what it acknowledged is deleted, up to the first failure.
Cost          After a crash between the acknowledgement and the deletion, a piece is appended twice;
              events have identities, so they are stored once.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import takewhile
from typing import Protocol

from core.codec import BODY, HEADER, Entry, decode
from core.errors import Refused, Unavailable
from core.settings import Settings
from gateway.spool import Spool
from gateway.spool_file import Row
from runtime.log import Throttle, get_log
from runtime.queue import Backoff

log = get_log()
ENTRIES_MAX = 500
BYTES_MAX = 4 << 20
POLL_S = 0.2


class Target(Protocol):
    """An EventQueue that tells when it cannot be reached."""

    @property
    def away(self) -> str:
        """Why it cannot be reached; empty while it can."""

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""


class SpoolDrain:
    """Moves entries from the spool to the queue. `may_drain`: whether there is room for them."""

    def __init__(
        self, spool: Spool, queue: Target, settings: Settings, *, may_drain: Callable[[], bool]
    ) -> None:
        self._spool = spool
        self._queue = queue
        self._bytes_max = min(BYTES_MAX, settings.inflight_bytes_max // 4 - 1)
        self._may_drain = may_drain
        self._throttle = Throttle(10)
        self._drained = 0  # entries, since the spool was last empty
        self._since_s = 0.0

    async def run(self) -> None:
        """Drain until cancelled."""
        backoff = Backoff()
        while True:
            try:
                moved = await self._step()
                backoff.reset()
            except Unavailable as error:
                if (held_back := self._throttle.held_back("waits")) is not None:
                    waiting = self._spool.entries
                    log.warning("spool waits", why=str(error), entries=waiting, held_back=held_back)
                await backoff.wait()
            else:
                if not moved:
                    await asyncio.sleep(POLL_S)

    async def _step(self) -> bool:
        """Do the next piece of work; False if there is none. Raises Unavailable."""
        spool = self._spool
        if not self._queue.away and self._may_drain():
            if spool.entries:
                await self._move_some()
                return True
            if spool.untidy:
                await spool.tidy()
                took_s = round(time.monotonic() - self._since_s, 3)
                log.info("spool drained", entries=self._drained, took_s=took_s)
                self._drained = 0
                return True
        if spool.away:
            await spool.probe()
        return False

    async def _move_some(self) -> None:
        if not self._drained:
            self._since_s = time.monotonic()
        rows = await self._spool.next_rows(ENTRIES_MAX, self._bytes_max)
        if not rows:  # an operator has deleted some
            await self._spool.count()
            return
        entries, why = _read(rows)
        if not entries:
            await self._spool.set_aside(rows[0], why)
            return
        refused: list[Unavailable] = []
        appends = (self._in_turn(entry, refused) for entry in entries)
        results = await asyncio.gather(*appends, return_exceptions=True)
        taken = len(list(takewhile(lambda result: isinstance(result, str), results)))
        if taken:
            self._drained += taken
            await self._spool.acknowledge(rows[:taken])
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _in_turn(self, entry: Entry, refused: list[Unavailable]) -> str:
        """Append, unless one before was refused at once: a smaller one must not overtake it."""
        if refused:
            raise refused[0]
        try:
            return await self._queue.append(entry)
        except Unavailable as error:
            refused.append(error)
            raise


def _read(rows: list[Row]) -> tuple[list[Entry], str]:
    """The entries before the first row that cannot be read, and why it cannot."""
    entries: list[Entry] = []
    for row in rows:
        try:
            entries.append(decode({HEADER: row.header, BODY: row.body}))
        except Refused as error:
            return entries, error.why
    return entries, ""
