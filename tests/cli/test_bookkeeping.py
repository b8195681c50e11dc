"""Accounts of real queues that were hurt, quiet and under load."""

import asyncio

import pytest
from redis.asyncio import Redis

from cli import bookkeeping
from cli.bookkeeping import Accounts, read_accounts
from core.event import Row
from core.partitions import ledger_key, stream_key
from core.testing import MemoryEvents, MemoryLedger
from runtime import ledger
from tests.cli.flow import append, read, settle


def stored(*projects: str) -> MemoryLedger:
    """A store with one row for each mention of a project."""
    events = MemoryEvents()
    events.counts.update(projects)
    return MemoryLedger(events)


async def accounts_of(queue: Redis, *projects: str, partitions: int = 1) -> Accounts:
    """The accounts, with a row stored for each mention of a project."""
    return await read_accounts(queue, stored(*projects), partitions)


async def test_nothing(queue: Redis) -> None:
    """On an empty queue there are no accounts, in balance."""
    found = await accounts_of(queue, partitions=2)
    assert (found.projects, found.balanced, found.lost, found.moving) == ({}, True, {}, [])


async def test_in_balance(queue: Redis) -> None:
    """Accepted, stored and in flight are told by project."""
    first = await append(queue, "proj_1", 3)
    await append(queue, "proj_2", 2)
    await settle(queue, first, "proj_1", 3)
    found = await accounts_of(queue, "proj_1", "proj_1")
    one, two = found.projects["proj_1"], found.projects["proj_2"]
    assert found.balanced
    assert (one.accepted, one.stored, one.duplicates, one.in_flight, one.lost) == (3, 2, 1, 0, 0)
    assert (two.accepted, two.stored, two.in_flight, two.lost) == (2, 0, 2, 0)


async def test_unread_entry_is_deleted(queue: Redis) -> None:
    """XDEL of an entry that nobody has read is a loss of its events, and of nobody else's."""
    gone = await append(queue, "proj_1", 3)
    await append(queue, "proj_1", 4)
    await append(queue, "proj_2", 2)
    await queue.xdel(stream_key(0), gone)
    found = await accounts_of(queue)
    assert (found.balanced, found.lost) == (False, {"proj_1": 3})
    assert found.projects["proj_1"].in_flight == 4
    assert found.lost_in(0) == {"proj_1": 3}


async def test_stream_is_deleted(queue: Redis) -> None:
    """DEL of the stream loses what was in it, read or not."""
    await append(queue, "proj_1", 3)
    await read(queue)
    await append(queue, "proj_2", 2)
    await queue.delete(stream_key(0))
    assert (await accounts_of(queue)).lost == {"proj_1": 3, "proj_2": 2}


async def test_stored_and_deleted(queue: Redis) -> None:
    """An entry that was stored before it was deleted is missing, and none of its events is lost."""
    await append(queue, "proj_1", 1)
    await queue.delete(stream_key(0))
    found = await accounts_of(queue, "proj_1")
    assert (found.balanced, found.lost, found.moving) == (False, {}, [])


async def test_too_many(queue: Redis) -> None:
    """A queue that has forgotten what was accepted has more than it knows: a negative loss."""
    await append(queue, "proj_1", 3)
    await queue.hset(ledger_key(0), mapping={"proj_1|a": 1, "|a": 0})
    found = await accounts_of(queue)
    assert (found.balanced, found.lost) == (False, {"proj_1": -2})


async def test_moved_project(queue: Redis) -> None:
    """A project that was in another partition before has one account over both."""
    first = await append(queue, "proj_1", 3)
    await settle(queue, first, "proj_1", 3)
    await append(queue, "proj_1", 1)
    await append(queue, "proj_1", 2, partition=1)
    gone = await append(queue, "proj_1", 4, partition=1)
    await queue.xdel(stream_key(1), gone)
    found = await accounts_of(queue, *["proj_1"] * 3, partitions=2)
    account = found.projects["proj_1"]
    assert (account.accepted, account.stored, account.in_flight, account.lost) == (10, 3, 3, 4)
    assert (found.lost_in(0), found.lost_in(1)) == ({}, {"proj_1": 4})


async def test_under_load(queue: Redis) -> None:
    """While another project's events flow, a loss is told exactly; and of theirs, none is made."""
    gone = await append(queue, "proj_1", 3)
    await queue.xdel(stream_key(0), gone)
    await read(queue)

    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            await settle(queue, await append(queue, "proj_2", 5), "proj_2", 5)

    flowing = asyncio.create_task(flow())
    try:
        found = await accounts_of(queue)
    finally:
        stop.set()
        await flowing
    assert {p: n for p, n in found.lost.items() if p not in found.moving} == {"proj_1": 3}
    assert "proj_2" not in found.lost


async def test_never_rests(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose counts change during every count is in motion, and nothing of it is lost."""
    monkeypatch.setattr(bookkeeping, "PAUSE_S", 0)
    gone = await append(queue, "proj_1")
    await queue.xdel(stream_key(0), gone)
    real = bookkeeping.count_stream

    async def meanwhile(client: Redis, partition: int) -> object:
        await append(queue, "proj_2")
        return await real(client, partition)

    monkeypatch.setattr(bookkeeping, "count_stream", meanwhile)
    found = await accounts_of(queue)
    assert (found.lost, found.moving, found.too_long) == ({"proj_1": 1}, ["proj_2"], [])
    assert found.projects["proj_2"].in_flight > 0


async def test_too_long(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is too long to be counted is told so, and nothing is guessed."""
    monkeypatch.setattr(ledger, "SCAN_ENTRIES_MAX", 1000)
    gone = await append(queue, "proj_1")
    async with queue.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.xadd(stream_key(0), {"h": "x"}, id=f"9999999999999-{n + 1}")
        await pipe.execute()
    await queue.hincrby(ledger_key(0), "|a", 1000)
    await queue.xdel(stream_key(0), gone)
    found = await accounts_of(queue)
    assert (found.balanced, found.too_long, found.lost) == (False, [0], {})


async def test_row() -> None:
    """The fake store counts as the real one does."""
    events = MemoryEvents()
    await events.write([Row("proj_1", "e", "s", "saved", "{}", None, 1)])
    assert await MemoryLedger(events).stored(["proj_1"]) == await stored("proj_1").stored(
        ["proj_1"]
    )
