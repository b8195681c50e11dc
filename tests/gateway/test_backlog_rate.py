"""The measured rate of draining and Retry-After, on a real queue and a clock that stands still."""

import pytest
from redis.asyncio import Redis

from core.metrics import Metric
from tests.gateway.sampled import Sampled


async def test_rate(queue: Redis) -> None:
    """The rate counts what was stored, though more is added; Retry-After is what is above nine
    tenths of the bound, at that rate."""
    sampled = Sampled(queue, partitions=2, backlog_entries_max=100)
    await sampled.group()
    await sampled.add(60)
    await sampled.work(1)
    await sampled.full()
    await sampled.drain(10)
    await sampled.add(65)
    sampled.now_s += 5
    assert await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_DRAIN) == pytest.approx(2)
    assert sampled.backlog.retry_after_s() == 13  # 115 - 90 = 25 entries at 2/s


async def test_rate_of_its_own_partition(queue: Redis) -> None:
    """A partition that stands still is not helped by another that drains."""
    sampled = Sampled(queue, partitions=2, backlog_entries_max=20)
    for partition in (0, 1):
        await sampled.group(partition)
        await sampled.add(20, partition)
        await sampled.drain(1, partition)
    await sampled.full()
    await sampled.drain(10)
    await sampled.add(1, partition=1)
    sampled.now_s += 1
    assert "partition 1" in await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_DRAIN) == 10
    assert sampled.backlog.retry_after_s() == 30


async def test_retry_after_of_lag(queue: Redis) -> None:
    """For a bound on the lag it is the unread entries that count."""
    sampled = Sampled(queue, backlog_lag_max=10)
    await sampled.group()
    await sampled.add(50)
    await sampled.drain(1)
    await sampled.full()
    await sampled.drain(10)
    sampled.now_s += 5
    assert "39 unread" in await sampled.full()
    assert sampled.backlog.retry_after_s() == 15  # 39 - 9 = 30 entries at 2/s


async def test_retry_after_of_memory(own_queue: Redis) -> None:
    """For memory it is the share of all entries that is above nine tenths of the bound."""
    sampled = Sampled(own_queue, backlog_memory_percent=50)
    await sampled.group()
    await sampled.add(101)
    await sampled.drain(1)
    await sampled.full()
    used = (await own_queue.info("memory"))["used_memory"]
    await own_queue.config_set("maxmemory", used)  # so that 45 % would have to be used
    await sampled.drain(20)
    sampled.now_s += 5
    assert await sampled.full()
    assert sampled.backlog.retry_after_s() in (11, 12)  # about 55 % of 80 entries at 4/s


async def test_retry_after_without_a_bound(queue: Redis) -> None:
    """With no bound reached it is a tenth of what is there: the server refused by itself."""
    sampled = Sampled(queue)
    assert sampled.backlog.retry_after_s() == 30
    await sampled.group()
    await sampled.add(111)
    await sampled.drain(1)
    await sampled.full()
    await sampled.drain(10)
    sampled.now_s += 5
    assert not await sampled.full()
    assert sampled.backlog.retry_after_s() == 5  # a tenth of 100 entries at 2/s


async def test_stream_made_anew(queue: Redis) -> None:
    """A stream that was deleted is not taken for one that was drained."""
    sampled = Sampled(queue)
    await sampled.group()
    await sampled.add(50)
    await sampled.work(50)
    await sampled.full()
    for _ in range(2):
        await queue.flushall()
        sampled.now_s += 1
        await sampled.full()
        await sampled.group()
        await sampled.add(3)
        await sampled.work(3)
        sampled.now_s += 1
        await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_DRAIN) == 0
