"""What the doctor says of streams, groups, pending entries and dead letters, on a real server."""

import asyncio

import pytest
from redis.asyncio import Redis

from cli.checks_queue import Queue
from cli.checks_stream import (
    CHECKS,
    check_dead_letters,
    check_groups,
    check_lag,
    check_pending,
    read_stream,
)
from cli.findings import Status, examine
from core.partitions import GROUP, dead_letter_key, stream_key
from core.settings import read as read_settings
from tests.cli.flow import append, one, read, settle

HOLDS, WARNING, BROKEN = Status.HOLDS, Status.WARNING, Status.BROKEN


def queue_of(client: Redis, **changed: str) -> Queue:
    """A queue under settings, given without their prefix."""
    return Queue(client, read_settings({f"CONTOX_{k.upper()}": v for k, v in changed.items()}))


async def test_empty(queue: Redis) -> None:
    """On an empty queue every promise holds."""
    found = await examine("queue", CHECKS, queue_of(queue, partitions="3"))
    assert [f.status for f in found] == [HOLDS] * 4
    assert await read_stream(queue_of(queue), 0) is None


async def test_groups(queue: Redis) -> None:
    """A stream without the workers' group is named with what it holds."""
    await read(queue)
    settings = queue_of(queue, partitions="2")
    told = f"1 of 2 streams with the group {GROUP}"
    assert one(await check_groups(settings)) == (HOLDS, told)
    await append(queue, "proj_1", partition=1)
    told = f"{stream_key(1)} without the group {GROUP}, 1 entry"
    assert one(await check_groups(settings)) == (WARNING, told)


async def test_partitions_beyond(queue: Redis) -> None:
    """Entries in partitions that nobody reads any more break the promise."""
    await append(queue, "proj_1", partition=3)
    told = f"{stream_key(3)} hold entries, but CONTOX_PARTITIONS is 2"
    assert one(await check_groups(queue_of(queue, partitions="2"))) == (BROKEN, told)
    assert one(await check_groups(queue_of(queue, partitions="4")))[0] is WARNING


async def test_lag(queue: Redis) -> None:
    """Entries, those not read yet, and the oldest one's age are told; too old is a warning."""
    await read(queue)
    first = await append(queue, "proj_1")
    await read(queue)
    await append(queue, "proj_1")
    stream = await read_stream(queue_of(queue), 0)
    assert stream is not None
    assert (stream.length, stream.has_group, stream.lag, stream.pending) == (2, True, 1, 1)
    status, found = one(await check_lag(queue_of(queue)))
    assert status is HOLDS
    assert found.startswith("2 entries in the queue, 1 not read yet, the oldest ")
    await queue.xadd(stream_key(1), {"h": "x"}, id="1000-1")
    late = queue_of(queue, partitions="2")
    assert one(await check_lag(late))[0] is WARNING
    assert (await queue.xrange(stream_key(0)))[0][0] == first


@pytest.mark.parametrize("setting", ["backlog_entries_max", "backlog_lag_max"])
async def test_full(queue: Redis, setting: str) -> None:
    """At the bound where gateways refuse events the promise is broken."""
    for _ in range(3):
        await append(queue, "proj_1")
    status, found = one(await check_lag(queue_of(queue, **{setting: "3"})))
    assert status is BROKEN
    assert found.endswith(f"; {stream_key(0)} full: events are refused")
    assert one(await check_lag(queue_of(queue, **{setting: "4"})))[0] is HOLDS


async def test_unknown_lag(queue: Redis) -> None:
    """Where the server cannot tell the lag, it is what is neither stored nor pending."""
    await read(queue)
    ids = [await append(queue, "proj_1") for _ in range(3)]
    await queue.xdel(stream_key(0), ids[1])
    stream = await read_stream(queue_of(queue), 0)
    assert stream is not None
    assert (stream.length, stream.lag) == (2, 2)


async def test_deleted_unread(queue: Redis) -> None:
    """Entries that were deleted before they were read do not lag."""
    stored = await append(queue, "proj_1")
    await read(queue)
    await settle(queue, stored, "proj_1")
    await queue.xdel(stream_key(0), await append(queue, "proj_1"))
    told = "0 entries in the queue, 0 not read yet"
    assert one(await check_lag(queue_of(queue))) == (HOLDS, told)


async def test_pending(queue: Redis) -> None:
    """What a worker has in hand is told; once it is stored, nothing is."""
    entry = await append(queue, "proj_1")
    await read(queue)
    status, found = one(await check_pending(queue_of(queue)))
    assert status is HOLDS
    assert found.startswith("1 entry read and not stored, idle for up to ")
    await settle(queue, entry, "proj_1")
    assert one(await check_pending(queue_of(queue))) == (HOLDS, "0 entries read and not stored")


async def test_worker_is_gone(queue: Redis) -> None:
    """A worker that holds entries and is not heard of is named, with how many and how long."""
    await append(queue, "proj_1")
    await read(queue, "lost-one")
    await asyncio.sleep(1.1)
    status, found = one(await check_pending(queue_of(queue, claim_idle_s="1")))
    assert status is WARNING
    assert "; held by lost-one (1 entry, not seen for 1." in found


async def test_worker_does_not_finish(queue: Redis) -> None:
    """A worker that is there but does not finish is a warning, too."""
    await append(queue, "proj_1")
    await read(queue)
    await asyncio.sleep(1.1)
    await append(queue, "proj_1")  # Redis 7.0 counts a worker as seen once it has read something
    await read(queue)
    status, found = one(await check_pending(queue_of(queue, claim_idle_s="1")))
    assert status is WARNING
    assert "held by" not in found


async def test_dead_letters(queue: Redis) -> None:
    """Dead letters are counted, the latest reasons told; at the bound the promise is broken."""
    for why in ("too old", "no such table", "bad \x1b[31m"):
        await queue.xadd(dead_letter_key(0), {"v": "1", "why": why})
    status, found = one(await check_dead_letters(queue_of(queue)))
    assert status is WARNING
    assert found.startswith("3 dead letters (at most 100,000 a partition). Latest: bad ")
    assert found.endswith("; no such table; too old")
    status, found = one(await check_dead_letters(queue_of(queue, dead_letters_max="3")))
    assert status is BROKEN
    assert found.endswith("too old. They are full: the drain stops")
