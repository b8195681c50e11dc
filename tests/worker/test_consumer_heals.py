"""A consumer that heals itself: poison that ends the process, a breaker, dead letters that are
full, and a store that is away for longer than others would wait."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from core.errors import Refused, Unavailable
from core.event import Row
from core.metrics import Metric
from core.partitions import GROUP, dead_letter_key
from core.testing import MemoryEvents
from runtime.background import end
from runtime.ledger import read_book
from tests.worker.conftest import (
    STREAM,
    Draining,
    append,
    draining,
    is_drained,
    make,
    pending,
    until,
)

DEAD = dead_letter_key(0)


class Crash(Exception):
    """A bug that ends the worker."""


class DeadlyEvents(MemoryEvents):
    """Ends the worker when it is given the poison."""

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        if any(row.event == "deadly" for row in rows):
            raise Crash
        return await super().write(rows)


class MoodyEvents(MemoryEvents):
    """Refuses, or is away, as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = self.away = False

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        if self.away:
            raise Unavailable
        if self.refuses:
            raise Refused("a column is missing")
        return await super().write(rows)


async def run_until_it_crashes(queue: Redis, store: MemoryEvents, **settings: str) -> bool:
    """Run one worker process; False if it had nothing left to crash on."""
    running = make(queue, store, settings)
    task = asyncio.create_task(running.consumer.run())
    drained = asyncio.create_task(is_drained(queue))
    await asyncio.wait([task, drained], return_when=asyncio.FIRST_COMPLETED)
    running.stop.set()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    await end(drained)
    return isinstance(result, Crash)


async def test_entry_that_ends_the_worker(queue: Redis) -> None:
    """An entry that ends the worker each time is buried; the others are stored."""
    for number in range(9):
        await append(queue, number, "deadly" if number == 4 else "saved")
    store = DeadlyEvents()
    crashes = 0
    while await run_until_it_crashes(queue, store, deliveries_max="5"):
        crashes += 1
        assert crashes < 10
    assert crashes == 5
    assert sorted(event_id for _, event_id in store.rows) == [
        f"evt_{n:04}" for n in range(9) if n != 4
    ]
    ((_, letter),) = await queue.xrange(DEAD)
    assert letter[b"why"] == b"delivered 6 times; a worker ended each time"
    assert letter[b"project"] == b"proj_1"
    assert (await read_book(queue, 0)).projects["proj_1"].dead == 1


async def test_outages_are_nobodys_fault(queue: Redis) -> None:
    """Failures that do not end the process do not bring an entry nearer to its burial."""
    await append(queue, 1)
    store = MoodyEvents()
    store.away = True
    for _ in range(5):
        async with draining(queue, store, deliveries_max="2") as running:
            await until(lambda: running.meter.get(Metric.STORE_FAILURES) >= 1)
    found: Any = await queue.xpending_range(STREAM, GROUP, "-", "+", 9)
    assert found[0]["times_delivered"] == 1
    store.away = False
    async with draining(queue, store, deliveries_max="2"):
        await is_drained(queue)
    assert len(store.rows) == 1
    assert await queue.xlen(DEAD) == 0


async def test_nobody_takes_what_is_worked_on(queue: Redis) -> None:
    """While a worker waits for the store, its entries are not taken over however long it takes."""
    await append(queue, 1)
    away, idle = MoodyEvents(), MemoryEvents()
    away.away = True
    async with draining(queue, away, worker_name="one", claim_idle_s="1") as first:
        await until(lambda: first.meter.get(Metric.STORE_FAILURES) >= 1)
        async with draining(queue, idle, worker_name="two", claim_idle_s="1") as second:
            await asyncio.sleep(2.5)
            assert second.meter.get(Metric.ENTRIES_CLAIMED) == 0
        away.away = False
        await is_drained(queue)
    assert (len(away.rows), len(idle.rows)) == (1, 0)


async def stopped(running: Draining) -> None:
    """Wait until the drain is stopped, with an alarm."""
    await until(lambda: running.meter.get(Metric.BREAKER_OPEN) == 1)


async def test_breaker(queue: Redis) -> None:
    """When most would become dead letters the drain stops, keeps all, and goes on by itself."""
    for number in range(150):
        await append(queue, number)
    store = MoodyEvents()
    store.refuses = True
    async with draining(queue, store, breaker_retry_s="1") as running:
        await stopped(running)
        assert "a column is missing" in running.consumer.breaker.why
        assert await queue.xlen(DEAD) == 0
        assert await queue.xlen(STREAM) == 150
        await asyncio.sleep(1.2)
        assert running.consumer.breaker.why
        store.refuses = False
        await is_drained(queue)
        assert running.meter.get(Metric.BREAKER_OPEN) == 0
        assert not running.consumer.breaker.why
    assert len(store.rows) == 150
    assert await queue.xlen(DEAD) == 0


async def test_breaker_off(queue: Redis) -> None:
    """With the breaker off everything refused is buried."""
    for number in range(150):
        await append(queue, number)
    store = MoodyEvents()
    store.refuses = True
    async with draining(queue, store, breaker_percent="0"):
        await is_drained(queue)
    assert await queue.xlen(DEAD) == 150


async def test_stop_while_stopped(queue: Redis) -> None:
    """A stop ends the waiting; everything stays pending, with its deliveries forgotten."""
    for number in range(150):
        await append(queue, number)
    store = MoodyEvents()
    store.refuses = True
    async with draining(queue, store) as running:
        await stopped(running)
    assert await queue.xlen(STREAM) == 150
    assert await pending(queue) > 0
    found: Any = await queue.xpending_range(STREAM, GROUP, "-", "+", 200)
    assert {entry["times_delivered"] for entry in found} == {1}


async def test_dead_letters_full(queue: Redis) -> None:
    """At the bound of the dead letters the drain stops, and goes on when there is room."""
    await append(queue, 1)
    await queue.xadd(DEAD, {"x": 1})
    store = MoodyEvents()
    store.refuses = True
    async with draining(queue, store, dead_letters_max="1", breaker_retry_s="1") as running:
        await stopped(running)
        assert "dead letters are full" in running.consumer.breaker.why
        await queue.delete(DEAD)
        await is_drained(queue)
    assert await queue.xlen(DEAD) == 1


@pytest.mark.parametrize("count", [1, 3])
async def test_unreadable_entries_trip_it_too(queue: Redis, count: int) -> None:
    """Entries that cannot be read count for the breaker; a few of them do not trip it."""
    for _ in range(count):
        await queue.xadd(STREAM, {"h": "9|from the future", "b": ""})
    async with draining(queue, MemoryEvents()) as running:
        await is_drained(queue)
        assert running.meter.get(Metric.ENTRIES_DEAD) == count
    assert await queue.xlen(DEAD) == count


async def test_store_away_at_the_start(queue: Redis) -> None:
    """A worker whose books cannot be opened waits for the store, and says so."""
    await append(queue, 1)
    running = make(queue, MemoryEvents(), {})
    real = running.consumer._books._store.queue_id

    async def away(_partition: int) -> str | None:
        raise Unavailable

    running.consumer._books._store.queue_id = away  # type: ignore[method-assign]
    task = asyncio.create_task(running.consumer.run())
    await until(lambda: running.consumer.away.startswith("The store is away"))
    running.consumer._books._store.queue_id = real  # type: ignore[method-assign]
    await is_drained(queue)
    running.stop.set()
    await task
    assert running.consumer.away == ""
