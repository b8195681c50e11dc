"""The backlog's sampling on a real queue: each bound, what is unread, Retry-After, hidden replies,
a server that stalls."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from core.metrics import Meter, Metric
from core.partitions import GROUP, stream_key
from core.settings import read
from gateway.backlog import Backlog
from runtime.queue import open_queue
from tests.conftest import QueueServer

FIRST = stream_key(0)


class Sampled:
    """A backlog whose clock stands still unless it is told to go on."""

    def __init__(self, queue: Redis, **settings: int) -> None:
        environ = {f"CONTOX_{name.upper()}": str(value) for name, value in settings.items()}
        self.queue = queue
        self.meter = Meter("gateway")
        self.now_s = 0.0
        self.backlog = Backlog(queue, read(environ), self.meter, clock=lambda: self.now_s)

    async def full(self) -> str:
        """Sample, and say whether it is full."""
        await self.backlog.sample()
        assert self.meter.get(Metric.BACKLOG_FULL) == bool(self.backlog.full)
        return self.backlog.full

    async def add(self, count: int, partition: int = 0) -> None:
        """Append entries."""
        for _ in range(count):
            await self.queue.xadd(stream_key(partition), {"h": "x"})

    async def work(self, count: int) -> None:
        """Read entries of the first partition."""
        await self.queue.xreadgroup(GROUP, "w", {FIRST: ">"}, count=count)

    async def drain(self, count: int, partition: int = 0) -> None:
        """Read entries, acknowledge and delete them, as a worker does."""
        stream = stream_key(partition)
        reply = await self.queue.xreadgroup(GROUP, "w", {stream: ">"}, count=count)
        ids = [entry_id for entry_id, _ in reply[0][1]]
        await self.queue.xack(stream, GROUP, *ids)
        await self.queue.xdel(stream, *ids)

    async def group(self, partition: int = 0) -> None:
        """Make the workers' group."""
        await self.queue.xgroup_create(stream_key(partition), GROUP, id="0", mkstream=True)


@pytest.fixture
async def own_queue(own_queue_server: QueueServer) -> AsyncIterator[Redis]:
    """A client of a server whose settings the test may change."""
    client = open_queue(own_queue_server.url)
    yield client
    await client.aclose()


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


async def test_user_that_may_not_look(own_queue: Redis, own_queue_server: QueueServer) -> None:
    """Without XINFO and INFO the bound on entries holds, the others are without effect, and a
    warning says so once."""
    rights = ("on", ">secret", "~ingest:*", "+xlen", "+multi", "+client", "+ping")
    await own_queue.execute_command("ACL", "SETUSER", "edge", *rights)
    await own_queue.config_set("maxmemory", 1)
    edge = open_queue(own_queue_server.url.replace("//", "//edge:secret@"))
    sampled = Sampled(edge, backlog_entries_max=5, backlog_lag_max=1)
    await own_queue.config_set("maxmemory", 0)
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
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
