"""One partition on a real queue: what is stored, acknowledged, recovered, claimed and given up."""

import asyncio
import signal

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as QueueConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.body import Form
from core.codec import encode_header
from core.errors import Refused, Unavailable
from core.event import Row
from core.metrics import Metric
from core.partitions import GROUP, dead_letter_key
from core.ports import EventFilter
from core.testing import MemoryEvents
from runtime.queue import open_queue
from store.events import SqlEvents
from tests.conftest import QueueServer
from tests.worker.conftest import (
    PLAIN,
    STREAM,
    append,
    append_entry,
    crash,
    draining,
    is_drained,
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


async def test_stored_and_gone(queue: Redis, store: MemoryEvents) -> None:
    """What was in the stream before and after the start is stored, acknowledged and deleted."""
    await append(queue, 1)
    async with draining(queue, store) as running:
        await append(queue, 2)
        await is_drained(queue)
        assert numbers(store) == ["evt_0001", "evt_0002"]
        assert running.meter.get(Metric.EVENTS_STORED) == 2


async def test_gathers_a_batch(queue: Redis, store: MemoryEvents) -> None:
    """Many small entries become few writes."""
    for number in range(100):
        await append(queue, number)
    async with draining(queue, store, drain_age_ms_max="200") as running:
        await is_drained(queue)
        (sample,) = running.meter.samples(Metric.DRAIN_SECONDS)
    assert sum(sample.buckets) <= 3


@pytest.mark.parametrize("bound", ["drain_events_max", "drain_bytes_max"])
async def test_batch_is_bounded(queue: Redis, bound: str) -> None:
    """A batch is written when it holds enough events or bytes, before its time has passed."""
    store = MemoryEvents()
    async with draining(queue, store, **{bound: "1", "drain_age_ms_max": "60000"}):
        await append(queue, 1)
        await is_drained(queue, timeout_s=5)


async def test_large_bodies_are_read_few_at_once(queue: Redis, store: MemoryEvents) -> None:
    """After a read over the bound of bytes fewer entries are asked for, later more again."""
    body = b'{"event":"a","payload":{"x":"%s"}}' % (b"x" * 10_000)
    for number in range(40):
        large = msgspec.structs.replace(PLAIN, body=body, timestamp_s=number)
        await append_entry(queue, large)
    async with draining(queue, store, drain_bytes_max="30000") as running:
        await is_drained(queue)
        assert running.consumer._count <= 4
        async with queue.pipeline() as together:
            for number in range(200):
                header = encode_header(msgspec.structs.replace(PLAIN, timestamp_s=number))
                together.xadd(STREAM, {"h": header, "b": b'{"event":"a","payload":{}}'})
            await together.execute()
        await is_drained(queue)
        assert running.consumer._count > 4


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
        real, running.consumer._acknowledge = running.consumer._acknowledge, lost_connection
        await until(lambda: len(store.rows) == 1)
        await until(lambda: bool(running.consumer.away))
        running.consumer._acknowledge = real
        await is_drained(queue)
        assert running.meter.get(Metric.EVENTS_DUPLICATE) >= 1
    assert len(store.rows) == 1


async def lost_connection(*_arguments: object) -> None:
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


UNREADABLE = {
    "no-header": {b"x": b"y"},
    "other-version": {b"h": b"9|a|b", b"b": b""},
    "bad-body": {b"h": encode_header(PLAIN), b"b": b"{"},
    "wrong-count": {b"h": encode_header(msgspec.structs.replace(PLAIN, count=5)), b"b": b"[]"},
}


@pytest.mark.parametrize("fields", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_entry(
    queue: Redis, store: MemoryEvents, fields: dict[bytes, bytes]
) -> None:
    """An entry that cannot be read is kept as a dead letter, whole; its neighbours are stored."""
    await append(queue, 1)
    entry_id = await queue.xadd(STREAM, fields)  # type: ignore[arg-type]
    await append(queue, 2)
    async with draining(queue, store) as running:
        await is_drained(queue)
        assert running.meter.get(Metric.ENTRIES_DEAD) == 1
    ((_, letter),) = await queue.xrange(DEAD)
    assert letter.items() >= {b"entry": entry_id, **fields}.items()
    assert letter[b"why"]
    assert numbers(store) == ["evt_0001", "evt_0002"]


FORBID = {
    "sqlite": """CREATE TRIGGER forbid BEFORE INSERT ON events WHEN NEW.event = 'poison'
        BEGIN SELECT RAISE(ABORT, 'poison is forbidden'); END""",
    "postgresql": "ALTER TABLE events ADD CONSTRAINT forbid CHECK (event <> 'poison')",
}


async def test_refused_event_sqlite(queue: Redis, sqlite: AsyncEngine) -> None:
    """An event that SQLite refuses is a dead letter; its 499 neighbours are stored at once."""
    await assert_only_poison_is_dead(queue, sqlite)


@pytest.mark.xdist_group("postgres")
async def test_refused_event_postgres(queue: Redis, postgres: AsyncEngine) -> None:
    """An event that PostgreSQL refuses is a dead letter; its 499 neighbours are stored at once."""
    await assert_only_poison_is_dead(queue, postgres)


async def assert_only_poison_is_dead(queue: Redis, engine: AsyncEngine) -> None:
    """One entry of 500 events, the one at index 250 against a rule of the database."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(FORBID[engine.dialect.name])
    events = [
        b'{"id":"evt_%d","event":"%s","payload":{"n":%d}}' % (n, b"poison" if n == 250 else b"a", n)
        for n in range(500)
    ]
    batch = msgspec.structs.replace(
        PLAIN, form=Form.ARRAY, count=500, body=b"[" + b",".join(events) + b"]"
    )
    await append_entry(queue, batch)
    async with draining(queue, SqlEvents(engine)) as running:
        await is_drained(queue)
        assert running.meter.get(Metric.EVENTS_DEAD) == 1
    page = await SqlEvents(engine).page(EventFilter("proj_1"), limit=1000)
    assert len(page.rows) == 499
    ((_, letter),) = await queue.xrange(DEAD)
    assert letter[b"eventId"] == b"evt_250"
    assert letter[b"payload"] == b'{"n":250}'
    assert b"forbid" in letter[b"why"]


async def test_dead_letter_and_acknowledgement_are_one(queue: Redis, store: MemoryEvents) -> None:
    """If a dead letter cannot be written, its entry is not acknowledged either."""
    await queue.set(DEAD, "not a stream")
    await queue.xadd(STREAM, {"x": "y"})
    async with draining(queue, store) as running:
        await until(lambda: "WRONGTYPE" in running.consumer.away)
        pending = await queue.xpending(STREAM, GROUP)
        assert pending["pending"] == 1
        await queue.delete(DEAD)
        await is_drained(queue)
    assert await queue.xlen(DEAD) == 1


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


async def test_refusal_of_everything_keeps_everything(queue: Redis) -> None:
    """A store that refuses all loses none: each event is a dead letter."""

    class NoEvents(MemoryEvents):
        async def write(self, rows: list[Row]) -> int:
            """See core.ports.EventStore."""
            raise Refused("never")

    for number in range(5):
        await append(queue, number)
    async with draining(queue, NoEvents()):
        await is_drained(queue)
    assert await queue.xlen(DEAD) == 5


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
