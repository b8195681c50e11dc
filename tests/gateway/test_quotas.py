"""Quotas of several gateways on one real queue; their clock stands still unless it is told."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from core.errors import Rejected
from core.settings import read
from gateway import quotas as module
from gateway.quotas import Quotas
from runtime.queue import open_queue
from tests.conftest import QueueServer

KEY = "contox:quota:proj_1"


class Fleet:
    """Gateways that share a queue and a clock."""

    def __init__(self, queue: Redis, size: int = 2, events_s: int = 0, bytes_s: int = 0) -> None:
        rates = {"CONTOX_QUOTA_EVENTS_S": str(events_s), "CONTOX_QUOTA_BYTES_S": str(bytes_s)}
        self.now_s = 100.0
        self.gateways = [Quotas(queue, read(rates), lambda: self.now_s) for _ in range(size)]

    def post(self, gateway: int, events: int = 1, size: int = 1, project: str = "proj_1") -> int:
        """A request; 0, or the Retry-After of its 429."""
        try:
            quota = self.gateways[gateway].check(project, size)
        except Rejected as error:
            return error.retry_after_s or -1
        assert quota
        quota.pay("events", events - 1)
        return 0

    async def sync(self) -> None:
        """Each gateway once, and then again, so that all have heard of all."""
        for _ in range(2):
            for gateway in self.gateways:
                gateway._asked.update(gateway._quotas)
                await gateway.sync()


@pytest.fixture
async def dead_queue() -> AsyncIterator[Redis]:
    """A client of a queue that is away."""
    client = open_queue("redis://127.0.0.1:1/0")
    yield client
    await client.aclose()


def test_without_a_bound(dead_queue: Redis) -> None:
    """Where nothing has a bound, nothing is kept or paid."""
    quotas = Quotas(dead_queue, read({}))
    assert quotas.check("proj_1", 10**9) is None
    assert not quotas._asked


def test_events(dead_queue: Redis) -> None:
    """A request pays for one event at once, and for the others when they are counted."""
    fleet = Fleet(dead_queue, events_s=10)
    assert fleet.post(0, events=9, size=10**9) == 0
    assert fleet.post(0, events=26) == 0
    assert fleet.post(0) == 3
    fleet.now_s += 3
    assert fleet.post(0) == 0


def test_bytes(dead_queue: Redis) -> None:
    """Bytes are paid before the body is decoded."""
    fleet = Fleet(dead_queue, bytes_s=1_000)
    assert fleet.post(0, events=10**6, size=3_500) == 0
    assert fleet.post(0, size=1) == 3


def test_both(dead_queue: Redis) -> None:
    """With both, the bucket deeper in debt says when; a refused request pays for neither."""
    fleet = Fleet(dead_queue, events_s=10, bytes_s=1_000)
    assert fleet.post(0, events=55, size=2_500) == 0
    assert [fleet.post(0, size=10**6) for _ in range(3)] == [5, 5, 5]
    fleet.now_s += 5
    assert fleet.post(0) == 0


def test_projects_are_apart(dead_queue: Redis) -> None:
    """One project's debt is not another's."""
    fleet = Fleet(dead_queue, events_s=1)
    assert fleet.post(0, events=100) == 0
    assert fleet.post(0) > 0
    assert fleet.post(0, project="proj_2") == 0


def test_number_of_projects(dead_queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the project that was added first makes room."""
    monkeypatch.setattr(module, "PROJECTS_MAX", 2)
    fleet = Fleet(dead_queue, events_s=1)
    for number in range(5):
        assert fleet.post(0, events=9, project=f"proj_{number}") == 0
    assert [*fleet.gateways[0]._quotas] == [*fleet.gateways[0]._asked] == ["proj_3", "proj_4"]


async def test_shared(queue: Redis) -> None:
    """What one gateway lets in, the other counts too, in events and in bytes."""
    fleet = Fleet(queue, events_s=10, bytes_s=1_000)
    fleet.post(0), fleet.post(1)
    await fleet.sync()
    assert fleet.post(0, events=25, size=10) == 0
    await fleet.sync()
    assert [fleet.post(0), fleet.post(1)] == [2, 2]
    fleet.now_s += 2
    await fleet.sync()
    assert fleet.post(0, size=3_000) == 0
    await fleet.sync()
    assert [fleet.post(0), fleet.post(1)] == [3, 3]
    totals = {field: int(total) for field, total in (await queue.hgetall(KEY)).items()}
    assert totals == {b"events": 28, b"bytes": 3_012}
    assert 0 < await queue.ttl(KEY) <= 60


async def test_fleet_in_the_long_run(queue: Redis) -> None:
    """Flooded for a minute, two gateways together let in the quota, and at the start a second's
    worth each."""
    fleet, passed = Fleet(queue, events_s=100), 0
    for _ in range(240):
        for gateway in (0, 1):
            passed += sum(5 for _ in range(10) if fleet.post(gateway, events=5) == 0)
            await fleet.gateways[gateway].sync()
        fleet.now_s += 0.25
    assert 0.95 * 6_000 <= passed <= 6_000 + 2 * 125 + 2 * 5


async def test_who_waits_learns(queue: Redis) -> None:
    """A gateway that refuses goes on learning, so that its Retry-After is that of the fleet."""
    fleet = Fleet(queue, events_s=10)
    fleet.post(0), fleet.post(1)
    await fleet.sync()
    assert fleet.post(0, events=15) == 0
    await fleet.gateways[0].sync()
    assert fleet.post(1, events=25) == 0
    await fleet.gateways[1].sync()
    assert fleet.post(0) == 1
    await fleet.gateways[0].sync()
    assert fleet.post(0) == 4


async def test_idle_gateway(queue: Redis) -> None:
    """A gateway that was idle while others used the quota up is not punished for it."""
    fleet = Fleet(queue, events_s=10)
    fleet.post(0), fleet.post(1)
    await fleet.sync()
    for _ in range(100):
        fleet.now_s += 1
        fleet.post(0, events=10)
        await fleet.gateways[0].sync()
    await fleet.sync()
    assert fleet.post(1) == 0


@pytest.mark.parametrize("flush", [False, True])
async def test_counter_that_is_gone(queue: Redis, *, flush: bool) -> None:
    """A counter that has expired, or went with an emptied queue, is a new one to all."""
    fleet = Fleet(queue, events_s=100)
    fleet.post(0, events=90), fleet.post(1)
    await fleet.sync()
    fleet.now_s += 60
    await (queue.flushall() if flush else queue.pexpire(KEY, 0))
    assert fleet.post(1, events=60) == 0
    await fleet.sync()
    assert fleet.post(0, events=60) == 0
    await fleet.sync()
    assert fleet.post(0) == fleet.post(1) == 1
    assert int(await queue.hget(KEY, "events")) == 120


async def test_queue_away(own_queue_server: QueueServer) -> None:
    """While the queue is away each gateway keeps the quota by itself, with one warning; what it let
    in meanwhile is no debt of anybody's when the queue is back."""
    queue = open_queue(own_queue_server.url)
    fleet = Fleet(queue, events_s=10)
    fleet.post(0), fleet.post(1)
    await fleet.sync()
    own_queue_server.stop(signal.SIGKILL)
    with capture_logs() as logs:
        assert fleet.post(0, events=45) == 0
        await fleet.sync()
    assert [log["event"] for log in logs] == ["quotas not shared"] * 2  # by each of the two
    assert [fleet.post(0), fleet.post(1)] == [4, 0]
    own_queue_server.start()
    await fleet.sync()
    fleet.now_s += 1
    assert [fleet.post(0), fleet.post(1)] == [3, 0]
    await fleet.sync()
    assert fleet.post(1, events=95) == 0
    await fleet.sync()
    assert [fleet.post(0), fleet.post(1)] == [11, 9]  # others' part of a debt is capped
    await queue.aclose()


async def test_queue_that_stalls(
    own_queue_server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that does not answer holds a sync up for a bounded time; what it adds up later is not
    taken for others' use."""
    monkeypatch.setattr(module, "SYNC_TIMEOUT_S", 0.2)
    queue = open_queue(own_queue_server.url)
    fleet = Fleet(queue, size=1, events_s=10)
    fleet.post(0)
    await fleet.sync()
    assert own_queue_server._process is not None
    own_queue_server._process.send_signal(signal.SIGSTOP)
    assert fleet.post(0, events=8) == 0
    started_s = time.monotonic()
    await fleet.gateways[0].sync()
    assert time.monotonic() - started_s < 2
    own_queue_server._process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(5):
        while await queue.hget(KEY, "events") != b"9":
            await asyncio.sleep(0.01)
    await fleet.sync()
    assert fleet.post(0) == 0
    await queue.aclose()


async def test_one_broken_counter(queue: Redis) -> None:
    """A counter that the queue cannot add to leaves the other projects' quotas shared."""
    await queue.set(KEY, "not a hash")
    fleet = Fleet(queue, events_s=10)
    fleet.post(0), fleet.post(0, project="proj_2"), fleet.post(1, project="proj_2")
    await fleet.sync()
    assert fleet.post(1, events=25, project="proj_2") == 0
    await fleet.sync()
    assert fleet.post(0, project="proj_2") == 2
    assert fleet.post(0) == 0


async def test_projects_of_one_sync(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync takes a bounded number of projects, those that wait longest first."""
    monkeypatch.setattr(module, "SYNC_PROJECTS_MAX", 2)
    fleet = Fleet(queue, size=1, events_s=10)
    for number in (0, 1, 2, 0):
        fleet.post(0, project=f"proj_{number}")
    await fleet.gateways[0].sync()
    assert sorted(await queue.keys("contox:quota:*")) == [
        b"contox:quota:proj_0",
        b"contox:quota:proj_1",
    ]
    await fleet.gateways[0].sync()
    assert await queue.exists("contox:quota:proj_2")


async def test_nothing_to_sync(dead_queue: Redis) -> None:
    """Where nothing was asked the queue is not bothered, and without a bound there is no task."""
    with capture_logs() as logs:
        await Fleet(dead_queue, events_s=1).gateways[0].sync()
        await Quotas(dead_queue, read({})).run()
    assert not logs
