"""The queue with the spool behind it: what the gateway appends to if it has a spool.

Only a queue that cannot be reached is replaced. A full backlog, or too much in flight, is refused
as before: the spool is not a second queue.
"""

from collections.abc import Callable, Iterator

from core.codec import Entry
from core.errors import Reason, Unavailable
from core.ports import Bundle, Receipt
from gateway.publisher import Publisher
from gateway.receipts import appended, refuse_each
from gateway.spool import Spool


class _OrSpool:
    """A Receipt that goes to the spool with what the queue could not be reached for.

    An append whose outcome is unknown is spooled too: it may then be in the queue twice, and is
    stored once, since events have identities.
    """

    __slots__ = ("_entry", "_receipt", "_spool")

    def __init__(
        self, spool: Callable[[Entry, Receipt], None], entry: Entry, receipt: Receipt
    ) -> None:
        self._spool = spool
        self._entry = entry
        self._receipt = receipt

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        self._receipt.accepted(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        if error.reason is Reason.QUEUE_UNAVAILABLE:
            self._spool(self._entry, self._receipt)
        else:
            self._receipt.refused(error)


class _BundleOrSpool:
    """The same for a bundle."""

    def __init__(self, spool: Callable[[Entry, Receipt], None], bundle: Bundle) -> None:
        self._spool = spool
        self._bundle = bundle
        self.partition = bundle.partition
        self.wire, self.entries, self.events = bundle.wire, bundle.entries, bundle.events

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        self._bundle.accepted(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        refuse_each(self, error.reason)

    def each(self) -> Iterator[tuple[Entry, Receipt]]:
        """See core.ports.Bundle."""
        for entry, receipt in self._bundle.each():
            yield entry, _OrSpool(self._spool, entry, receipt)


class SpooledQueue:
    """The EventQueue port, and how it is, as sentences."""

    def __init__(self, publisher: Publisher, spool: Spool) -> None:
        self._publisher = publisher
        self.spool = spool

    def put(self, entry: Entry, receipt: Receipt) -> None:
        """See core.ports.EventQueue."""
        or_spool = _OrSpool(self.spool.put, entry, receipt)
        try:
            self._publisher.put(entry, or_spool)
        except Unavailable as error:
            if error.reason is not Reason.QUEUE_UNAVAILABLE:
                raise
            or_spool.refused(error)

    def put_all(self, bundle: Bundle) -> None:
        """See core.ports.EventQueue."""
        self._publisher.put_all(_BundleOrSpool(self.spool.put, bundle))

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        return await appended(self, entry)

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
