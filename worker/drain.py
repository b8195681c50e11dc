"""Writing a batch: retried while the store is away, split while the store refuses it.

Requirements  One event that can never be stored must not hold up its neighbours, nor be lost.
Solution      A refused batch is halved until the refused event stands alone; the rest is stored at
              once.
Cost          2 log2(n) more writes for each refused event in a batch of n.
"""

import asyncio

from core.errors import Refused, Unavailable
from core.event import Row
from core.metrics import Meter, Metric
from core.ports import EventStore
from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()


class Drain:
    """Writes batches to the store. `stop`, once set, ends the retries."""

    def __init__(self, events: EventStore, meter: Meter, stop: asyncio.Event) -> None:
        self._events = events
        self._meter = meter
        self._stop = stop
        self.away = ""  # why the store does not take batches; empty: it does

    async def store(self, rows: list[Row]) -> dict[int, str]:
        """Store all rows but those that the store refuses: their indexes, and why.

        Raises Unavailable only if the store is still away when `stop` is set.
        """
        return await self._store(rows, 0) if rows else {}

    async def _store(self, rows: list[Row], offset: int) -> dict[int, str]:
        try:
            new = await self._write(rows)
        except Refused as error:
            if len(rows) == 1:
                return {offset: error.why}
            middle = len(rows) // 2
            first = await self._store(rows[:middle], offset)
            return first | await self._store(rows[middle:], offset + middle)
        self._meter.add(Metric.EVENTS_STORED, new)
        self._meter.add(Metric.EVENTS_DUPLICATE, len(rows) - new)
        return {}

    async def _write(self, rows: list[Row]) -> int:
        backoff = Backoff()
        while True:
            try:
                new = await self._events.write(rows)
            except Unavailable as error:
                self._meter.add(Metric.STORE_FAILURES)
                if not self.away:
                    log.error("store away", error=error.sentence)  # noqa: TRY400 - an outage, not a bug
                self.away = error.sentence
                if self._stop.is_set():
                    raise
                await backoff.wait()
            else:
                if self.away:
                    log.info("store back")
                self.away = ""
                return new
