"""What this gateway knows to be in the ledger, told to a queue that may have forgotten it.

A queue that is restarted without its file, or without the end of it, has forgotten appends that
were acknowledged. The counts that came with the last acknowledgement are raised again, so that the
ledger shows what is missing (runtime/ledger.py).
"""

from redis.asyncio.connection import AbstractConnection

from core.ledger import ACCEPTED, ENTRIES, field
from core.metrics import Meter, Metric
from gateway.standings import Standings
from runtime.ledger import opening
from runtime.log import get_log

log = get_log()


class Witness:
    """Tells what was seen of all projects."""

    def __init__(self, standings: Standings, meter: Meter) -> None:
        self._meter = meter
        self._standings = standings
        self.ids = [""] * standings.partitions  # of the ledgers that this was seen in

    async def testify(self, connection: AbstractConnection) -> None:
        """Open the ledgers, and raise what is lower than it was. Says so where anything was."""
        for partition in range(self._standings.partitions):
            seen = self._standings.seen(partition)
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
