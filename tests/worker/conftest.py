"""Consumers of one partition on a real queue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis.asyncio import Redis

from core.body import Form
from core.codec import BODY, HEADER, Entry, encode_header
from core.compression import Encoding
from core.metrics import Meter
from core.partitions import stream_key
from core.ports import EventStore
from core.settings import read
from core.testing import MemoryEvents, MemoryLedger
from runtime.background import end
from worker.books import Books
from worker.consumer import Consumer
from worker.drain import Drain

STREAM = stream_key(0)
SETTINGS = {
    "CONTOX_DRAIN_AGE_MS_MAX": "20",
    "CONTOX_CLAIM_IDLE_S": "1",
    "CONTOX_WORKER_NAME": "one",
}
PLAIN = Entry(
    project="proj_1",
    session="sess_1",
    received_ms=1,
    form=Form.SINGLE,
    encoding=Encoding.IDENTITY,
    count=1,
    timestamp_s=1,
    mac=bytes(32),
    body=b"",
)


async def append(queue: Redis, number: int, event: str = "saved") -> bytes:
    """Append an entry with one event, `n` its payload and part of its id."""
    body = b'{"id":"evt_%04d","event":"%s","payload":{"n":%d}}' % (number, event.encode(), number)
    return await append_entry(queue, msgspec.structs.replace(PLAIN, body=body))


async def append_entry(queue: Redis, entry: Entry) -> bytes:
    """Append an entry as the gateway does."""
    entry_id: bytes = await queue.xadd(STREAM, {HEADER: encode_header(entry), BODY: entry.body})
    return entry_id


@pytest.fixture
def store() -> MemoryEvents:
    """Where the consumers write, unless a test takes another."""
    return MemoryEvents()


class Draining:
    """A consumer that runs, and its counters."""

    def __init__(self, consumer: Consumer, meter: Meter, stop: asyncio.Event) -> None:
        self.consumer = consumer
        self.meter = meter
        self.stop = stop


def make(queue: Redis, store: EventStore, changed: dict[str, str]) -> Draining:
    """A consumer that does not run yet; changed settings are given without their prefix."""
    settings = read({**SETTINGS, **{f"CONTOX_{k.upper()}": v for k, v in changed.items()}})
    stop, meter = asyncio.Event(), Meter("worker")
    consumer = Consumer(
        queue,
        0,
        name=settings.worker_name,
        drain=Drain(store, meter, stop),
        books=Books(queue, MemoryLedger(MemoryEvents()), settings=settings, meter=meter),
        settings=settings,
        meter=meter,
        stop=stop,
    )
    return Draining(consumer, meter, stop)


@asynccontextmanager
async def draining(queue: Redis, store: EventStore, **changed: str) -> AsyncIterator[Draining]:
    """Run a consumer; leaving stops it in order, and fails if it does not end."""
    running = make(queue, store, changed)
    task = asyncio.create_task(running.consumer.run())
    try:
        yield running
    finally:
        running.stop.set()
        await asyncio.wait_for(task, 10)


async def crash(queue: Redis, store: EventStore, **changed: str) -> None:
    """Run a consumer until it has read something, then drop it without any goodbye."""
    running = make(queue, store, changed)
    task = asyncio.create_task(running.consumer.run())
    async with asyncio.timeout(10):
        while not await pending(queue):
            await asyncio.sleep(0.005)
    await end(task)


async def pending(queue: Redis) -> int:
    """How many entries have been read and not acknowledged."""
    groups = await queue.xinfo_groups(STREAM) if await queue.exists(STREAM) else []
    return int(groups[0]["pending"]) if groups else 0


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def is_drained(queue: Redis, timeout_s: float = 10) -> None:
    """Wait until the stream is empty and nothing is pending."""
    async with asyncio.timeout(timeout_s):
        while True:
            if not await pending(queue) and not await queue.xlen(STREAM):
                return
            await asyncio.sleep(0.01)
