"""The lease on a real queue: idle times are set back, and only those of one's own entries."""

import asyncio
from typing import Any

from redis.asyncio import Redis

from core.partitions import GROUP
from runtime.queue import open_queue
from tests.worker.conftest import STREAM, append
from worker.lease import Lease, position


async def deliver(queue: Redis, consumer: str, count: int) -> list[bytes]:
    """Give a consumer so many new entries."""
    reply: Any = await queue.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=count)
    return [entry_id for entry_id, _ in reply[0][1]]


async def entries(queue: Redis, count: int) -> None:
    """A stream with a group and entries."""
    for number in range(count):
        await append(queue, number)
    await queue.xgroup_create(STREAM, GROUP, id="0")


async def pending(queue: Redis) -> dict[bytes, Any]:
    """All pending entries by id."""
    found: Any = await queue.xpending_range(STREAM, GROUP, "-", "+", 100)
    return {entry["message_id"]: entry for entry in found}


async def test_renewed(queue: Redis) -> None:
    """Renewing sets the idle time back, and counts as no delivery."""
    await entries(queue, 2)
    mine = await deliver(queue, "one", 2)
    await asyncio.sleep(0.2)
    await Lease(queue, 0, name="one", claim_idle_s=1).renew(mine)
    found = await pending(queue)
    assert all(found[i]["time_since_delivered"] < 200 for i in mine)
    assert all(found[i]["times_delivered"] == 1 for i in mine)


async def test_what_others_took_stays_theirs(queue: Redis) -> None:
    """An entry that another worker has claimed meanwhile is not taken back."""
    await entries(queue, 3)
    mine = await deliver(queue, "one", 3)
    await queue.xclaim(STREAM, GROUP, "two", 0, [mine[1]])
    lease = Lease(queue, 0, name="one", claim_idle_s=1)
    await lease.renew(mine)
    await lease.release(mine)
    assert [(await pending(queue))[i]["consumer"] for i in mine] == [b"one", b"two", b"one"]


async def test_released(queue: Redis) -> None:
    """Releasing forgets the deliveries; without entries there is nothing to do."""
    await entries(queue, 1)
    mine = await deliver(queue, "one", 1)
    await queue.xclaim(STREAM, GROUP, "one", 0, mine, retrycount=9)
    lease = Lease(queue, 0, name="one", claim_idle_s=1)
    await lease.release(mine)
    assert (await pending(queue))[mine[0]]["times_delivered"] == 1
    await lease.release([])
    await lease.release([b"99-0"])


async def test_kept_while_working(queue: Redis) -> None:
    """While the context lasts the idle time stays under what lets others take over."""
    await entries(queue, 1)
    mine = await deliver(queue, "one", 1)
    async with Lease(queue, 0, name="one", claim_idle_s=0.3).on(mine):
        for _ in range(20):
            await asyncio.sleep(0.05)
            reply: Any = await queue.xautoclaim(STREAM, GROUP, "two", 300)
            assert reply[1] == []


async def test_queue_away() -> None:
    """A queue that is away does not disturb the work; it is tried again."""
    away = open_queue("redis://127.0.0.1:1/0")
    async with Lease(away, 0, name="one", claim_idle_s=0.03).on([b"1-0"]):
        await asyncio.sleep(0.1)
    await away.aclose()


def test_position() -> None:
    """Ids are ordered as numbers, not as text."""
    assert sorted([b"10-0", b"9-10", b"9-9"], key=position) == [b"9-9", b"9-10", b"10-0"]
