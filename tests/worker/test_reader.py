"""What is read, in which order, and how often it says that it was delivered before."""

from typing import Any

import pytest
from redis.asyncio import Redis

from core.metrics import Meter, Metric
from core.partitions import GROUP
from core.settings import read
from tests.worker.conftest import STREAM, append
from worker.lease import Lease
from worker.reader import Reader

MAX = 4  # deliveries


def reader(queue: Redis, name: str = "one") -> Reader:
    """A reader, as a process that starts has it."""
    settings = read(
        {
            "CONTOX_DELIVERIES_MAX": str(MAX),
            "CONTOX_CLAIM_IDLE_S": "1",
            "CONTOX_DRAIN_AGE_MS_MAX": "0",
        }
    )
    lease = Lease(queue, 0, name=name, claim_idle_s=1)
    return Reader(queue, 0, name=name, lease=lease, settings=settings, meter=Meter("worker"))


@pytest.fixture
async def ids(queue: Redis) -> list[bytes]:
    """Three entries in hand of the consumer `one`, delivered nine times, and a new one."""
    found = [await append(queue, number) for number in range(4)]
    await queue.xgroup_create(STREAM, GROUP, id="0")
    await queue.xreadgroup(GROUP, "one", {STREAM: ">"}, count=3)
    await queue.xclaim(STREAM, GROUP, "one", 0, found[:3], retrycount=9)
    return found


async def test_own_first(queue: Redis, ids: list[bytes]) -> None:
    """What a crash has left comes first; only its first entry is told to be the suspect."""
    one = reader(queue)
    await one.open()
    own = await one.next()
    assert [(d.entry_id, d.times) for d in own] == list(zip(ids[:3], (10, MAX, MAX), strict=True))
    await queue.xack(STREAM, GROUP, *ids[:2])
    assert [(d.entry_id, d.times) for d in await one.next()] == [(ids[2], MAX)]
    await queue.xack(STREAM, GROUP, ids[2])
    assert [(d.entry_id, d.times) for d in await one.next()] == [(ids[3], 1)]


async def test_failure_in_the_process(queue: Redis, ids: list[bytes]) -> None:
    """After a failure that the process has survived, deliveries are forgotten."""
    one = reader(queue)
    await one.open()
    await one.next()
    await queue.xack(STREAM, GROUP, *ids[:3])
    await one.next()
    await queue.xclaim(STREAM, GROUP, "one", 0, ids[3:], retrycount=9)
    await one.open()
    assert [(d.entry_id, d.times) for d in await one.next()] == [(ids[3], 1)]
    pending: Any = await queue.xpending_range(STREAM, GROUP, "-", "+", 9)
    assert pending[0]["times_delivered"] == 1


async def test_claimed(queue: Redis, ids: list[bytes]) -> None:
    """Entries that another worker left idle are taken over, with their deliveries, as innocent."""
    await queue.xclaim(STREAM, GROUP, "one", 0, ids[:2], idle=5_000, retrycount=9)
    two = reader(queue, "two")
    await two.open()
    assert [(d.entry_id, d.times) for d in await two.next()] == [(i, MAX) for i in ids[:2]]
    assert two._meter.get(Metric.ENTRIES_CLAIMED) == 2


async def test_claims_beyond_what_others_work_on(queue: Redis) -> None:
    """Entries of a gone worker are found behind many that another one keeps in hand."""
    found = [await append(queue, number) for number in range(400)]
    await queue.xgroup_create(STREAM, GROUP, id="0")
    await queue.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=399)
    await queue.xreadgroup(GROUP, "gone", {STREAM: ">"}, count=1)
    await queue.xclaim(STREAM, GROUP, "gone", 0, found[399:], idle=5_000)
    two = reader(queue, "two")
    await two.open()
    busy = Lease(queue, 0, name="busy", claim_idle_s=1)
    for _ in range(5):
        await busy.renew(found[:399])
        if deliveries := await two.next():
            break
    assert [delivery.entry_id for delivery in deliveries] == found[399:]


async def test_deleted_is_lost(queue: Redis, ids: list[bytes]) -> None:
    """Own entries that were deleted are counted as lost and pending no more; also the first one."""
    await queue.xdel(STREAM, *ids[:2])
    one = reader(queue)
    await one.open()
    assert [d.entry_id for d in await one.next()] == [ids[2]]
    assert one._meter.get(Metric.ENTRIES_LOST) == 2
    assert (await queue.xpending(STREAM, GROUP))["pending"] == 1


async def test_all_deleted(queue: Redis, ids: list[bytes]) -> None:
    """When all that was in hand is gone, what is new comes next."""
    await queue.xdel(STREAM, *ids[:3])
    one = reader(queue)
    await one.open()
    assert [d.entry_id for d in await one.next()] == [ids[3]]


@pytest.mark.parametrize(("body_bytes_max", "count"), [(64 << 20, 16), (1 << 20, 256), (1, 2_000)])
def test_a_read_is_bounded_by_the_largest_body(
    queue: Redis, body_bytes_max: int, count: int
) -> None:
    """No read asks for more entries than may hold 256 MiB if each is as large as can be."""
    settings = read({"CONTOX_BODY_BYTES_MAX": str(body_bytes_max)})
    lease = Lease(queue, 0, name="one", claim_idle_s=1)
    one = Reader(queue, 0, name="one", lease=lease, settings=settings, meter=Meter("worker"))
    assert one._count_max == count


async def test_small_entries_come_by_the_hundreds(queue: Redis) -> None:
    """Reads grow while entries are small; what is read is all there is, in order."""
    found = [await append(queue, number) for number in range(900)]
    one = reader(queue)
    await one.open()
    deliveries = await one.next()
    while more := await one.next():
        deliveries += more
    assert [delivery.entry_id for delivery in deliveries] == found
    assert one._count > 200


async def test_group_is_made(queue: Redis) -> None:
    """A missing group is made, from the first entry on."""
    entry_id = await append(queue, 1)
    one = reader(queue)
    await one.open()
    assert [d.entry_id for d in await one.next()] == [entry_id]
    assert one._meter.get(Metric.GROUPS_CREATED) == 1
