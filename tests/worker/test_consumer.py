"""One partition on a real queue: what is stored, acknowledged, and kept as a dead letter."""

import gzip

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from core.body import Form
from core.codec import encode_header
from core.compression import Encoding
from core.dead_letter import DeadLetter
from core.errors import Refused
from core.event import Row
from core.metrics import Metric
from core.partitions import GROUP, dead_letter_key
from core.ports import EventFilter
from core.testing import MemoryEvents
from store.events import SqlEvents
from tests.worker.conftest import (
    PLAIN,
    STREAM,
    append,
    append_entry,
    draining,
    is_drained,
    until,
)
from worker.batch import Outcome

DEAD = dead_letter_key(0)


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
    async with draining(
        queue, store, **{bound: "1", "drain_age_ms_max": "5000", "claim_idle_s": "9"}
    ):
        await append(queue, 1)
        await is_drained(queue, timeout_s=3)


async def test_batch_is_bounded_in_entries(
    queue: Redis, store: MemoryEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than so many entries are settled at once: the server does nothing else meanwhile."""
    monkeypatch.setattr("worker.reader.ENTRIES_MAX", 10)
    monkeypatch.setattr("worker.consumer.ENTRIES_MAX", 10)
    for number in range(100):
        await append(queue, number)
    async with draining(queue, store) as running:
        sizes: list[int] = []
        settle = running.consumer._settler.settle

        async def weighed(outcomes: list[Outcome], letters: list[tuple[int, DeadLetter]]) -> int:
            sizes.append(len(outcomes))
            return await settle(outcomes, letters)

        running.consumer._settler.settle = weighed  # type: ignore[method-assign]
        await is_drained(queue)
    assert (sum(sizes), max(sizes)) == (100, 10)


async def test_large_bodies_are_read_few_at_once(queue: Redis, store: MemoryEvents) -> None:
    """After a read over the bound of bytes fewer entries are asked for, later more again."""
    body = b'{"event":"a","payload":{"x":"%s"}}' % (b"x" * 10_000)
    for number in range(40):
        large = msgspec.structs.replace(PLAIN, body=body, timestamp_s=number)
        await append_entry(queue, large)
    async with draining(queue, store, drain_bytes_max="30000") as running:
        await is_drained(queue)
        assert running.consumer._reader._count <= 4
        async with queue.pipeline() as together:
            for number in range(200):
                header = encode_header(msgspec.structs.replace(PLAIN, timestamp_s=number))
                together.xadd(STREAM, {"h": header, "b": b'{"event":"a","payload":{}}'})
            await together.execute()
        await is_drained(queue)
        assert running.consumer._reader._count > 4


async def test_compressed_bodies_do_not_exceed_the_bound(queue: Redis) -> None:
    """What counts is the decoded size: bodies that unpack to much become several batches."""
    sizes: list[int] = []

    class WeighedEvents(MemoryEvents):
        async def write(self, rows: list[Row]) -> int:
            """See core.ports.EventStore."""
            sizes.append(sum(len(row.payload) for row in rows))
            return await super().write(rows)

    body = gzip.compress(b'{"event":"a","payload":{"x":"%s"}}' % (b"x" * 100_000))
    for number in range(20):
        packed = msgspec.structs.replace(
            PLAIN, body=body, encoding=Encoding.GZIP, timestamp_s=number
        )
        await append_entry(queue, packed)
    async with draining(queue, WeighedEvents(), drain_bytes_max="300000"):
        await is_drained(queue)
    assert sum(sizes) > 2_000_000
    assert max(sizes) < 500_000


UNREADABLE = {
    "huge-number": {
        b"h": encode_header(msgspec.structs.replace(PLAIN, received_ms=10**20)),
        b"b": b"",
    },
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
