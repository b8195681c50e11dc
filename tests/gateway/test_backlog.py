"""The backlog's bounds on a real queue: each of them, what is unread, hidden replies, a server that
stalls."""

import asyncio
import signal
import time

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from core.metrics import Meter, Metric
from core.partitions import GROUP, stream_key
from core.settings import read
from gateway.backlog import Backlog
from runtime.background import end
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.gateway.sampled import FIRST, Sampled


async def test_entries(queue: Redis) -> None:
    """The fullest partition counts; once full, it stays so until nine tenths of the bound."""
    sampled = Sampled(queue, partitions=3, backlog_entries_max=10)
    await sampled.add(9, partition=2)
    await sampled.add(5, partition=1)
    assert not await sampled.full()
    await sampled.add(2, partition=2)
    why = "The backlog is full: partition 2 holds 11 entries (CONTOX_BACKLOG_ENTRIES_MAX)"
    assert await sampled.full() == why
    assert sampled.meter.get(Metric.BACKLOG_ENTRIES) == 11
    await queue.xtrim(stream_key(2), maxlen=10, approximate=False)
    assert "holds 10 entries" in await sampled.full()
    await queue.xtrim(stream_key(2), maxlen=9, approximate=False)
    assert not await sampled.full()


async def test_changes_are_logged_once(queue: Redis) -> None:
    """Becoming full is logged with its reason, and so is having room again; staying so is not."""
    sampled = Sampled(queue, backlog_entries_max=1)
    with capture_logs() as logs:
        for change in (sampled.full(), sampled.add(1), queue.flushall()):
            await change
            await sampled.full()
            await sampled.full()
    assert [log["event"] for log in logs] == ["backlog full", "backlog has room"]
    assert "partition 0 holds 1 entries" in logs[0]["why"]


async def test_unread(queue: Redis) -> None:
    """What a worker has read is no lag any more, stored or not."""
    sampled = Sampled(queue, backlog_lag_max=10)
    await sampled.group()
    await sampled.add(12)
    why = "The backlog is full: partition 0 holds 12 unread entries (CONTOX_BACKLOG_LAG_MAX)"
    assert await sampled.full() == why
    await sampled.work(2)
    assert await sampled.full()
    await sampled.work(1)
    assert not await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_LAG) == 9
    assert sampled.meter.get(Metric.BACKLOG_ENTRIES) == 12


async def test_unread_where_the_server_does_not_know(queue: Redis) -> None:
    """Entries deleted out of order make the server's lag unknown: all but the pending ones are
    unread."""
    sampled = Sampled(queue, backlog_lag_max=10)
    await sampled.group()
    await sampled.add(9)
    await sampled.work(4)
    ids = [entry_id for entry_id, _ in await queue.xrange(FIRST, count=4)]
    await queue.xack(FIRST, GROUP, *ids[2:])
    await queue.xdel(FIRST, *ids[2:])
    assert (await queue.xinfo_groups(FIRST))[0]["lag"] is None
    await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_LAG) == 5


@pytest.mark.parametrize("other_group", [False, True])
async def test_no_group(queue: Redis, *, other_group: bool) -> None:
    """Without the workers' group all entries are unread; a group of somebody else's is none."""
    sampled = Sampled(queue, backlog_lag_max=3)
    await sampled.add(3)
    if other_group:
        await queue.xgroup_create(FIRST, "other", id="$")
    assert "3 unread" in await sampled.full()


async def test_no_stream(queue: Redis) -> None:
    """A partition that nobody has written to is empty, and nothing is hidden."""
    sampled = Sampled(queue, partitions=2, backlog_lag_max=3)
    with capture_logs() as logs:
        assert not await sampled.full()
    assert not logs


async def test_lag_without_a_bound(queue: Redis) -> None:
    """A bound of 0 on the lag is none."""
    sampled = Sampled(queue, backlog_lag_max=0)
    await sampled.add(3)
    assert not await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_LAG) == 3


async def test_memory(own_queue: Redis) -> None:
    """The share of maxmemory is bounded, if the server has one; with hysteresis."""
    sampled = Sampled(own_queue, backlog_memory_percent=50)
    assert not await sampled.full()
    assert sampled.meter.get(Metric.BACKLOG_MEMORY) == 0
    used = (await own_queue.info("memory"))["used_memory"]
    await own_queue.config_set("maxmemory", int(used * 1.5))
    assert (await sampled.full()).endswith("of its maxmemory (CONTOX_BACKLOG_MEMORY_PERCENT)")
    assert 0.6 < sampled.meter.get(Metric.BACKLOG_MEMORY) < 0.75
    await own_queue.config_set("maxmemory", int(used / 0.475))
    assert await sampled.full()
    await own_queue.config_set("maxmemory", int(used * 3))
    assert not await sampled.full()


async def test_user_that_may_not_look(own_queue: Redis, own_queue_server: QueueServer) -> None:
    """Without XINFO and INFO the bound on entries holds, the others are without effect, and a
    warning says so once."""
    rights = ("on", ">secret", "~ingest:*", "+xlen", "+multi", "+client", "+ping")
    await own_queue.execute_command("ACL", "SETUSER", "edge", *rights)
    edge = open_queue(own_queue_server.url.replace("//", "//edge:secret@"))
    sampled = Sampled(edge, backlog_entries_max=5, backlog_lag_max=1)
    await Sampled(own_queue).add(4)
    with capture_logs() as logs:
        assert not await sampled.full()
        assert not await sampled.full()
    assert [log["event"] for log in logs] == ["the backlog is seen in part only"]
    assert "xinfo" in logs[0]["error"]
    await Sampled(own_queue).add(1)
    assert "5 entries" in await sampled.full()
    assert sampled.backlog.retry_after_s() == 30
    await edge.aclose()


async def test_user_that_may_not_count(own_queue: Redis) -> None:
    """Without XLEN nothing is known: the last answer stays."""
    sampled = Sampled(own_queue, backlog_entries_max=1)
    await sampled.add(1)
    assert await sampled.full()
    await own_queue.delete(FIRST)
    await own_queue.execute_command("ACL", "SETUSER", "default", "-xlen")
    assert await sampled.full()


async def test_queue_away_changes_nothing() -> None:
    """A sample that fails keeps the last answer."""
    queue = open_queue("redis://127.0.0.1:1/0")
    backlog = Backlog(queue, read({}), Meter("gateway"))
    backlog.full = "It is."
    await backlog.sample()
    assert backlog.full == "It is."
    await queue.aclose()


async def test_stalled_queue(
    own_queue: Redis, own_queue_server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of a server that stalls ends in time, and the next one reads its own replies."""
    monkeypatch.setattr("gateway.backlog.SAMPLE_TIMEOUT_S", 0.2)
    sampled = Sampled(own_queue, backlog_entries_max=3)
    await sampled.add(2)
    assert not await sampled.full()
    assert own_queue_server._process is not None
    own_queue_server._process.send_signal(signal.SIGSTOP)
    started_s = time.monotonic()
    await sampled.full()
    assert 0.1 < time.monotonic() - started_s < 2
    own_queue_server._process.send_signal(signal.SIGCONT)
    await sampled.add(1)
    assert await sampled.full()


async def test_run_goes_on(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sampled again and again until cancelled."""
    monkeypatch.setattr("gateway.backlog.SAMPLE_S", 0.01)
    sampled = Sampled(queue, backlog_entries_max=1)
    task = asyncio.create_task(sampled.backlog.run())
    await sampled.add(1)
    async with asyncio.timeout(5):
        while not sampled.backlog.full:
            await asyncio.sleep(0.01)
    await end(task)
    assert task.cancelled()
