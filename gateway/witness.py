"""What this gateway knows to be in the ledger, told to a queue that may have forgotten it.

A queue that is restarted without its file, or without the end of it, has forgotten appends that
were acknowledged. The counts that came with the last acknowledgement are raised again, so that the
ledger shows what is missing (runtime/ledger.py).
"""

from collections.abc import Iterable, Sequence

from redis.asyncio.connection import AbstractConnection

from core.ledger import ACCEPTED, ENTRIES, field
from core.metrics import Meter, Metric
from runtime.ledger import opening
from runtime.log import get_log

log = get_log()
PROJECTS_MAX = 100_000  # of each partition; beyond, the ones first seen longest ago are forgotten


class Witness:
    """Remembers the highest count of each ledger field that was acknowledged."""

    def __init__(self, partitions: int, meter: Meter) -> None:
        self._meter = meter
        self._seen: list[dict[str, int]] = [{} for _ in range(partitions)]
        self.ids = [""] * partitions  # of the ledgers that this was seen in

    def saw(self, partition: int, fields: Sequence[str], counts: Iterable[int]) -> None:
        """Remember counts that came with an acknowledgement."""
        seen = self._seen[partition]
        seen.update(zip(fields, counts, strict=True))
        if len(seen) > PROJECTS_MAX + 1:  # ENTRIES is there, too
            for name in fields:
                seen[name] = seen.pop(name)  # comes last, and is not forgotten now
            while len(seen) > PROJECTS_MAX + 1:
                del seen[next(iter(seen))]

    async def testify(self, connection: AbstractConnection) -> None:
        """Open the ledgers, and raise what is lower than it was. Says so where anything was."""
        for partition, seen in enumerate(self._seen):
            await connection.send_command(*opening(partition, seen, self.ids[partition]))
            queue_id, *raised = await connection.read_response()
            self.ids[partition] = queue_id.decode()
            entries = field(ENTRIES, ACCEPTED)
            events = sum(by for name, by in zip(seen, raised, strict=True) if name != entries)
            if events:
                self._meter.add(Metric.EVENTS_FORGOTTEN, events)
                log.error(
                    "the queue has forgotten acknowledged events; see: contox-ingest doctor",
                    partition=partition,
                    events=events,
                )
