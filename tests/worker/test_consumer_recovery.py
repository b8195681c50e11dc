"""One partition on a real queue: workers crash, servers vanish, stops come at bad times."""

import asyncio
import signal

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as QueueConnectionError

from core.errors import Unavailable
from core.event import Row
from core.metrics import Metric
from core.partitions import GROUP, dead_letter_key
from core.testing import MemoryEvents
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.worker.conftest import (
    STREAM,
    append,
    crash,
    draining,
    is_drained,
    make,
    until,
)

DEAD = dead_letter_key(0)


class StuckEvents(MemoryEvents):
    """A store whose writes do not end until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()
        self.go_on = asyncio.Event()

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        self.writing.set()
        await self.go_on.wait()
        return await super().write(rows)


def numbers(store: MemoryEvents) -> list[str]:
    """The ids stored, in order."""
    return sorted(event_id for _, event_id in store.rows)


async def test_crash_before_the_write(queue: Redis) -> None:
    """Entries read by a worker that crashed are stored by the same worker's next start."""
    for number in range(20):
        await append(queue, number)
    await crash(queue, StuckEvents())
    store = MemoryEvents()
    async with draining(queue, store, claim_idle_s="1000"):
        await is_drained(queue)
    assert len(store.rows) == 20


async def test_crash_between_write_and_acknowledgement(queue: Redis) -> None:
    """What was stored but not acknowledged is written again, and stored once."""
    await append(queue, 1)
    store = MemoryEvents()
    async with draining(queue, store) as running:
        settler = running.consumer._settler
        real, settler.settle = settler.settle, lost_connection
        await until(lambda: len(store.rows) == 1)
        await until(lambda: bool(running.consumer.away))
        settler.settle = real
        await is_drained(queue)
        assert running.meter.get(Metric.EVENTS_DUPLICATE) >= 1
    assert len(store.rows) == 1


async def lost_connection(*_arguments: object) -> int:
    """An acknowledgement that fails."""
    raise QueueConnectionError("gone")


async def test_other_worker_takes_over(queue: Redis) -> None:
    """Entries of a worker that does not come back are claimed once they were idle."""
    await append(queue, 1)
    await crash(queue, StuckEvents(), worker_name="dead")
    store = MemoryEvents()
    async with draining(queue, store, worker_name="alive") as running:
        await is_drained(queue)
        assert running.meter.get(Metric.ENTRIES_CLAIMED) == 1
    assert numbers(store) == ["evt_0001"]


async def test_group_deleted(queue: Redis, store: MemoryEvents) -> None:
    """A consumer group that vanishes is created again, and nothing in the stream is missed."""
    async with draining(queue, store) as running:
        await append(queue, 1)
        await is_drained(queue)
        await queue.xgroup_destroy(STREAM, GROUP)
        await append(queue, 2)
        await is_drained(queue)
        assert running.meter.get(Metric.GROUPS_CREATED) == 2
    assert numbers(store) == ["evt_0001", "evt_0002"]


async def test_stream_deleted(queue: Redis, store: MemoryEvents) -> None:
    """A stream that vanishes does not stop what comes after it."""
    async with draining(queue, store):
        await append(queue, 1)
        await is_drained(queue)
        await queue.delete(STREAM)
        await append(queue, 2)
        await is_drained(queue)
    assert numbers(store) == ["evt_0001", "evt_0002"]


@pytest.mark.parametrize("worker_name", ["same", "other"])
async def test_deleted_while_pending(queue: Redis, worker_name: str) -> None:
    """An entry deleted before it was stored is counted as lost and said aloud, not skipped."""
    entry_id = await append(queue, 1)
    await append(queue, 2)
    await crash(queue, StuckEvents(), worker_name="same")
    await queue.xdel(STREAM, entry_id)
    store = MemoryEvents()
    async with draining(queue, store, worker_name=worker_name) as running:
        await is_drained(queue)
        await until(lambda: running.meter.get(Metric.ENTRIES_LOST) == 1)
    assert numbers(store) == ["evt_0002"]


async def test_store_away(queue: Redis) -> None:
    """While the store is away nothing is acknowledged; it goes on by itself."""

    class AwayEvents(MemoryEvents):
        away = True

        async def write(self, rows: list[Row]) -> int:
            """See core.ports.EventStore."""
            if self.away:
                raise Unavailable
            return await super().write(rows)

    store = AwayEvents()
    await append(queue, 1)
    async with draining(queue, store) as running:
        await until(lambda: running.meter.get(Metric.STORE_FAILURES) >= 2)
        assert (await queue.xpending(STREAM, GROUP))["pending"] == 1
        store.away = False
        await is_drained(queue)
    assert numbers(store) == ["evt_0001"]


async def test_stop_finishes_the_batch_in_hand(queue: Redis) -> None:
    """A stop during a write waits for it and acknowledges; nothing new is begun."""
    store = StuckEvents()
    await append(queue, 1)
    async with draining(queue, store) as running:
        await asyncio.wait_for(store.writing.wait(), 10)
        running.stop.set()
        await append(queue, 2)
        store.go_on.set()
    assert numbers(store) == ["evt_0001"]
    assert (await queue.xpending(STREAM, GROUP))["pending"] == 0
    assert await queue.xlen(STREAM) == 1


async def test_stop_with_the_store_away(queue: Redis) -> None:
    """A stop while the store is away ends too, with everything still pending."""

    class AwayEvents(MemoryEvents):
        async def write(self, rows: list[Row]) -> int:
            """See core.ports.EventStore."""
            raise Unavailable

    await append(queue, 1)
    async with draining(queue, AwayEvents()) as running:
        await until(lambda: running.meter.get(Metric.STORE_FAILURES) >= 1)
    assert (await queue.xpending(STREAM, GROUP))["pending"] == 1


async def test_queue_killed(own_queue_server: QueueServer) -> None:
    """A queue that is killed under the worker is waited for; all that it kept is stored once."""
    queue = open_queue(own_queue_server.url)
    store = MemoryEvents()
    async with draining(queue, store) as running:
        await append(queue, 1)
        await is_drained(queue)
        own_queue_server.stop(signal.SIGKILL)
        await until(lambda: bool(running.consumer.away))
        own_queue_server.start()
        await until(lambda: not running.consumer.away)
        await append(queue, 2)
        await is_drained(queue)
    await queue.aclose()
    assert numbers(store) == ["evt_0001", "evt_0002"]


async def test_drains_a_queue_out_of_memory(own_queue_server: QueueServer) -> None:
    """A worker that starts while the queue is at maxmemory drains it: nothing else frees it."""
    queue = open_queue(own_queue_server.url)
    store = MemoryEvents()
    async with draining(queue, store):
        await append(queue, 1)
        await is_drained(queue)
    await append(queue, 2)
    await queue.config_set("maxmemory", "1")
    async with draining(queue, store):
        await is_drained(queue)
    await queue.aclose()
    assert numbers(store) == ["evt_0001", "evt_0002"]


async def fill(queue: Redis, count: int) -> None:
    """Append so many entries."""
    for number in range(count):
        await append(queue, number)


async def test_reads_ahead_and_keeps_the_order(queue: Redis) -> None:
    """While a batch is written the next is in hand; it is written behind it, and both are done."""
    await fill(queue, 30)
    store = StuckEvents()
    async with draining(queue, store, drain_events_max="10") as running:
        await asyncio.wait_for(store.writing.wait(), 10)
        async with asyncio.timeout(5):
            while (await queue.xpending(STREAM, GROUP))["pending"] < 20:
                await asyncio.sleep(0.005)
        assert not store.rows
        store.go_on.set()
        await is_drained(queue)
        assert running.meter.get(Metric.EVENTS_STORED) == 30
    assert [event_id for _, event_id in store.rows] == [f"evt_{n:04}" for n in range(30)]


async def test_failure_with_a_batch_read_ahead(queue: Redis) -> None:
    """If a batch fails, the one read ahead is not written before it: both are read again."""
    await fill(queue, 30)
    store = MemoryEvents()
    running = make(queue, store, {"drain_events_max": "10"})
    settler = running.consumer._settler
    real, settler.settle = settler.settle, lost_connection  # type: ignore[method-assign]
    task = asyncio.create_task(running.consumer.run())
    await until(lambda: bool(running.consumer.away and store.rows))
    assert max(event_id for _, event_id in store.rows) < "evt_0016"
    settler.settle = real  # type: ignore[method-assign]
    await is_drained(queue)
    running.stop.set()
    await task
    assert [event_id for _, event_id in store.rows] == [f"evt_{n:04}" for n in range(30)]


async def test_stop_with_the_store_away_forgets_deliveries_read_ahead(queue: Redis) -> None:
    """A stop in an outage releases what was read ahead, too: it was not its fault."""

    class AwayEvents(MemoryEvents):
        async def write(self, rows: list[Row]) -> int:
            """See core.ports.EventStore."""
            raise Unavailable

    await fill(queue, 30)
    for _ in range(3):
        async with draining(queue, AwayEvents(), drain_events_max="10") as running:
            await until(lambda: running.meter.get(Metric.STORE_FAILURES) >= 1)
    found = await queue.xpending_range(STREAM, GROUP, "-", "+", 99)
    assert {entry["times_delivered"] for entry in found} == {1}
