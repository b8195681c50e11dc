"""The backlog's sampling on a real queue."""

from redis.asyncio import Redis

from core.metrics import Meter, Metric
from core.partitions import stream_key
from core.settings import read
from gateway.backlog import Backlog
from runtime.queue import open_queue

SETTINGS = read({"CONTOX_PARTITIONS": "3", "CONTOX_BACKLOG_ENTRIES_MAX": "2"})


async def test_fullest_partition_counts(queue: Redis) -> None:
    """It is full when one partition reaches the bound, and no more when that is drained."""
    backlog = Backlog(queue, SETTINGS, meter := Meter("gateway"))
    await queue.xadd(stream_key(2), {"h": "x"})
    await backlog.sample()
    assert not backlog.full
    last = await queue.xadd(stream_key(2), {"h": "x"})
    await backlog.sample()
    assert backlog.full
    assert meter.get(Metric.BACKLOG_ENTRIES) == 2
    await queue.xdel(stream_key(2), last)
    await backlog.sample()
    assert not backlog.full


async def test_queue_away_changes_nothing() -> None:
    """A sample that fails keeps the last answer."""
    queue = open_queue("redis://127.0.0.1:1/0")
    backlog = Backlog(queue, SETTINGS, Meter("gateway"))
    backlog.full = True
    await backlog.sample()
    assert backlog.full
    await queue.aclose()
