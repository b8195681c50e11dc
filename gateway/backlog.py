"""How full the queue is, sampled off the request path."""

import asyncio

from redis.asyncio import Redis

from core.metrics import Meter, Metric
from core.partitions import stream_key
from core.settings import Settings
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
SAMPLE_S = 0.5
RETRY_AFTER_S = 5


class Backlog:
    """Knows, as of the last sample, whether the fullest partition is at its bound."""

    def __init__(self, queue: Redis, settings: Settings, meter: Meter) -> None:
        self._queue = queue
        self._partitions = settings.partitions
        self._entries_max = settings.backlog_entries_max
        self._meter = meter
        self.full = False

    async def sample(self) -> None:
        """Read the lengths of all partitions. Keeps the last answer if they cannot be read."""
        try:
            async with self._queue.pipeline(transaction=False) as pipe:
                for partition in range(self._partitions):
                    pipe.xlen(stream_key(partition))
                entries = max(await pipe.execute())
        except QUEUE_ERRORS:
            return  # the publisher tells of a queue that is away
        self._meter.set(Metric.BACKLOG_ENTRIES, entries)
        if (entries >= self._entries_max) != self.full:
            self.full = not self.full
            log.warning("backlog full" if self.full else "backlog drains", entries=entries)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_S)
