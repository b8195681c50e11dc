"""What every EventQueue keeps to; see core.ports."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from core.auth import keyed
from core.body import Form
from core.codec import Entry, encode_header
from core.compression import Encoding
from core.errors import Unavailable
from core.ports import EventQueue, Receipt
from core.usual import Standing

ENTRY = Entry(
    project="proj_1",
    session="sess_1",
    received_ms=1_800_000_000_123,
    form=Form.SINGLE,
    encoding=Encoding.IDENTITY,
    count=1,
    timestamp_s=1_800_000_000,
    mac=bytes(range(32)),
    body=b'{"event":"a","payload":{"x":"\\u0000\xc3\xbc\\r\\n"}}',
)
Appended = Callable[[], Awaitable[list[Entry]]]


def entry(number: int) -> Entry:
    """An entry that differs from others by its number."""
    return msgspec.structs.replace(ENTRY, session=f"sess_{number}")


class Noted:
    """A Receipt that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str | Unavailable] = []

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        self.told.append(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        self.told.append(error)


class Bundled:
    """A Bundle of these entries, in the first partition."""

    def __init__(self, entries: list[Entry]) -> None:
        headers = [encode_header(one) for one in entries]
        self.partition = 0
        self.wire = b"".join(
            b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(header), header, len(one.body), one.body)
            for header, one in zip(headers, entries, strict=True)
        )
        self.entries = len(entries)
        self.events = {Standing("proj_1", keyed(""), partition=0): len(entries)}
        self.ones = [(one, Noted()) for one in entries]

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        for _, noted in self.ones:
            noted.accepted(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        for _, noted in self.ones:
            noted.refused(error)

    def each(self) -> Iterator[tuple[Entry, Receipt]]:
        """See core.ports.Bundle."""
        yield from self.ones

    def told(self) -> list[str | Unavailable]:
        """What all of them have been told."""
        return [told for _, noted in self.ones for told in noted.told]


class EventQueueContract:
    """Subclasses give `event_queue`, an empty EventQueue, and `appended`, which reads it back."""

    async def test_appended_is_there(self, event_queue: EventQueue, appended: Appended) -> None:
        """When append returns, the entry can be read, byte for byte."""
        durability = await event_queue.append(ENTRY)
        assert durability in ("memory", "fsynced", "replicated", "spooled")
        assert await appended() == [ENTRY]

    async def test_put(self, event_queue: EventQueue, appended: Appended) -> None:
        """A receipt is told once what the entry has reached, and the entry is there then."""
        receipt = Noted()
        event_queue.put(ENTRY, receipt)
        async with asyncio.timeout(10):
            while not receipt.told:
                await asyncio.sleep(0.01)
        assert await appended() == [ENTRY]
        assert len(receipt.told) == 1
        assert receipt.told[0] in ("memory", "fsynced", "replicated", "spooled")

    async def test_put_all(self, event_queue: EventQueue, appended: Appended) -> None:
        """All entries of a bundle are there once they are told, in their order, and as `append`
        would have left them."""
        bundle = Bundled([entry(n) for n in range(3)])
        event_queue.put_all(bundle)
        async with asyncio.timeout(10):
            while len(bundle.told()) < 3:
                await asyncio.sleep(0.01)
        assert set(bundle.told()) < {"memory", "fsynced", "replicated", "spooled"}
        assert await appended() == [one for one, _ in bundle.ones]

    async def test_order(self, event_queue: EventQueue, appended: Appended) -> None:
        """Entries appended together are all there, in the order of the calls."""
        entries = [entry(n) for n in range(200)]
        await asyncio.gather(*(event_queue.append(e) for e in entries))
        assert await appended() == entries

    async def test_any_bytes(self, event_queue: EventQueue, appended: Appended) -> None:
        """A body may hold any bytes, those of the queue's own protocol too."""
        body = b"*1\r\n$4\r\nPING\r\n" + bytes(range(256))
        odd = msgspec.structs.replace(ENTRY, body=body)
        await event_queue.append(odd)
        assert (await appended())[0].body == body
