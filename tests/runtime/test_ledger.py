"""The ledger in a real queue: read at one moment, counted where it does not add up, written off."""

from collections import Counter

import msgspec
import pytest
from redis.asyncio import Redis

from core.codec import BODY, HEADER, encode_header
from core.ledger import Totals
from core.partitions import ledger_key, stream_key
from runtime import ledger
from runtime.ledger import (
    as_fields,
    count_stream,
    in_flight,
    losses,
    opening,
    read_book,
    write_off,
)
from tests.contracts.event_queue import ENTRY


async def append(queue: Redis, project: str, events: int, *, counted: bool = True) -> bytes:
    """Append as a gateway does; `counted`: in the ledger, too."""
    entry = msgspec.structs.replace(ENTRY, project=project, count=events)
    fields = {HEADER: encode_header(entry), BODY: b""}
    entry_id: bytes = await queue.xadd(stream_key(0), fields)
    if counted:
        await queue.hincrby(ledger_key(0), "|a", 1)
        await queue.hincrby(ledger_key(0), f"{project}|a", events)
    return entry_id


async def test_empty(queue: Redis) -> None:
    """Nothing is in balance with nothing."""
    book = await read_book(queue, 0)
    assert (book.queue_id, book.projects, book.missing) == ("", {}, 0)
    assert await losses(queue, 0, {}) == Counter()


async def test_opening(queue: Redis) -> None:
    """Opening makes an id once, raises what is lower, and leaves what is higher."""
    await queue.hset(ledger_key(0), "p|a", 5)
    queue_id = (await queue.execute_command(*opening(0, {})))[0].decode()
    first = await queue.execute_command(*opening(0, {"p|a": 9, "p|s": 2}, queue_id))
    again = await queue.execute_command(*opening(0, {"p|a": 7}, queue_id))
    assert first[1:] == [4, 2]
    assert again[1:] == [0]
    assert first[0] == again[0] == queue_id.encode()
    assert (await read_book(queue, 0)).projects == {"p": Totals(9, 2)}


async def test_opening_another_one(queue: Redis) -> None:
    """What was seen of another ledger comes on top of what this one has counted already."""
    await queue.hset(ledger_key(0), mapping={"id": "new", "p|a": 5, "|a": 5})
    for seen, raised in ((100, 100), (102, 2), (90, 0)):
        answer = await queue.execute_command(*opening(0, {"p|a": seen, "|a": seen}, "old"))
        assert answer == [b"new", raised, raised]
    book = await read_book(queue, 0)
    assert (book.projects["p"].accepted, book.entries.accepted) == (107, 107)
    await queue.execute_command(*opening(0, {"p|a": 110}, "new"))
    assert (await read_book(queue, 0)).projects["p"].accepted == 110


async def test_count_stream(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events in a stream are counted by project, page by page; unknown entries as one event."""
    monkeypatch.setattr(ledger, "SCAN_PAGE", 2)
    for project, events in (("p", 3), ("q", 1), ("p", 4), ("q", 5)):
        await append(queue, project, events)
    await queue.xadd(stream_key(0), {"x": 1})
    assert await count_stream(queue, 0) == Counter({"p": 7, "q": 6, "?": 1})
    monkeypatch.setattr(ledger, "SCAN_ENTRIES_MAX", 4)
    assert await count_stream(queue, 0) is None


async def test_losses(queue: Redis) -> None:
    """A deleted entry is lost, in its own project and number; what others have is not."""
    gone = await append(queue, "p", 3)
    await append(queue, "p", 4)
    await append(queue, "q", 1)
    assert await losses(queue, 0, {}) == Counter()
    await queue.xdel(stream_key(0), gone)
    assert (await read_book(queue, 0)).missing == 1
    assert await losses(queue, 0, {}) == Counter({"p": 3, "q": 0})


async def test_stored_is_not_lost(queue: Redis) -> None:
    """An entry that was stored before it vanished is no loss."""
    gone = await append(queue, "p", 3)
    await queue.xdel(stream_key(0), gone)
    assert await losses(queue, 0, {"p": 3}) == Counter({"p": 0})


async def test_too_long_to_tell(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stream is too long to be counted, the losses cannot be told."""
    monkeypatch.setattr(ledger, "SCAN_ENTRIES_MAX", 0)
    await queue.hset(ledger_key(0), "|a", 1)
    assert await losses(queue, 0, {}) is None


async def test_write_off(queue: Redis) -> None:
    """After a loss is written off the ledger is in balance, and says how much it was."""
    await queue.xdel(stream_key(0), await append(queue, "p", 3))
    lost = await losses(queue, 0, {})
    assert lost is not None
    assert not await write_off(queue, 0, lost, 2)
    assert await write_off(queue, 0, lost, 1)
    book = await read_book(queue, 0)
    assert (book.missing, book.projects["p"]) == (0, Totals(accepted=3, written_off=3))
    assert await losses(queue, 0, {}) == Counter()


async def test_more_than_was_accepted(queue: Redis) -> None:
    """Entries that nobody has counted show as less than nothing lost."""
    await queue.hset(ledger_key(0), "p|a", 0)
    await append(queue, "p", 2, counted=False)
    assert (await read_book(queue, 0)).missing == -1
    assert await losses(queue, 0, {}) == Counter({"p": -2})


def test_as_fields() -> None:
    """A project's counts by the names that they have in the hash."""
    assert as_fields("p", Totals(1, 2, 3, 4, 5)) == {
        "p|a": 1,
        "p|s": 2,
        "p|d": 3,
        "p|p": 4,
        "p|w": 5,
    }


async def test_in_flight(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was appended of a project and is not settled is in flight, but not what is lost; where
    that cannot be told, that is, too."""
    assert await in_flight(queue, "p", partitions=1) == 0
    for project, events in (("p", 3), ("p", 4), ("q", 9)):
        await append(queue, project, events)
    assert await in_flight(queue, "p", partitions=1) == 7
    (first, _), *_ = await queue.xrange(stream_key(0))
    await queue.xdel(stream_key(0), first)
    assert await in_flight(queue, "p", partitions=1) == 4
    monkeypatch.setattr(ledger, "SCAN_ENTRIES_MAX", 0)
    assert await in_flight(queue, "p", partitions=1) == 7
    await queue.hincrby(ledger_key(0), "p|s", 8)
    assert await in_flight(queue, "p", partitions=1) == 0
