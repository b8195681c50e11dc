"""The queue with the spool behind it: what the gateway appends to if it has a spool.

Only a queue that cannot be reached is replaced. A full backlog, or too much in flight, is refused
as before: the spool is not a second queue.
"""

from core.codec import Entry
from core.errors import Reason, Unavailable
from gateway.publisher import Publisher
from gateway.spool import Spool


class SpooledQueue:
    """The EventQueue port, and how it is, as sentences."""

    def __init__(self, publisher: Publisher, spool: Spool) -> None:
        self._publisher = publisher
        self.spool = spool

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue.

        An append whose outcome is unknown is spooled too: it may then be in the queue twice, and is
        stored once, since events have identities.
        """
        try:
            return await self._publisher.append(entry)
        except Unavailable as error:
            if error.reason is not Reason.QUEUE_UNAVAILABLE:
                raise
        return await self.spool.append(entry)

    def missing(self) -> list[str]:
        """What keeps it from taking entries now."""
        cannot_spool = [why for why in (self.spool.away, self.spool.full) if why]
        if self._publisher.away and cannot_spool:
            return [self._publisher.away, *cannot_spool]
        return [self._publisher.full] if self._publisher.full else []

    def degraded(self) -> list[str]:
        """What is not as it should be, though entries are taken."""
        spool = self.spool
        sentences = [why for why in (self._publisher.away, spool.away) if why]
        if spool.entries:
            sentences.append(f"{spool.entries:,} entries ({spool.bytes:,} bytes) are spooled")
        if spool.unreadable:
            sentences.append(f"{spool.unreadable:,} spooled entries cannot be read")
        return sentences
