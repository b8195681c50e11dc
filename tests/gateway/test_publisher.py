"""The publisher on real servers: the contract, the tiers, servers that die, stall or are full."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import redis
from redis.asyncio import Redis

from core.codec import Entry, decode
from core.errors import Reason, Unavailable
from core.metrics import Metric
from core.partitions import stream_key
from gateway.publisher import Publisher
from tests.conftest import QueueServer
from tests.contracts.event_queue import ENTRY, Appended, EventQueueContract, entry
from tests.gateway.conftest import is_connected, publishing, until


class TestPublisher(EventQueueContract):
    """The contract."""

    @pytest.fixture(params=["memory", "fsynced"])
    async def event_queue(
        self, request: pytest.FixtureRequest, queue: Redis, shared_queue_server: QueueServer
    ) -> AsyncIterator[Publisher]:
        """A publisher of each tier."""
        async with publishing(shared_queue_server.url, ack=request.param) as publisher:
            await is_connected(publisher)
            yield publisher

    @pytest.fixture
    def appended(self, queue: Redis) -> Appended:
        """Reads the stream."""

        async def read_back() -> list[Entry]:
            return [decode(fields) for _, fields in await queue.xrange(stream_key(0))]

        return read_back


async def test_partitions(queue: Redis, shared_queue_server: QueueServer) -> None:
    """Projects spread over the partitions, each project in one."""
    async with publishing(shared_queue_server.url, partitions="4") as publisher:
        await is_connected(publisher)
        for number in range(40):
            other = msgspec.structs.replace(ENTRY, project=f"proj_{number % 20}")
            await publisher.append(other)
    lengths = [await queue.xlen(stream_key(n)) for n in range(4)]
    assert sum(lengths) == 40
    assert all(length > 0 and length % 2 == 0 for length in lengths)


async def test_before_it_is_connected(shared_queue_server: QueueServer) -> None:
    """Nothing is taken before the queue has been reached."""
    async with publishing("redis://127.0.0.1:1/0") as publisher:
        with pytest.raises(Unavailable) as refused:
            await publisher.append(ENTRY)
        assert refused.value.reason is Reason.QUEUE_UNAVAILABLE


async def test_killed_and_back(own_queue_server: QueueServer) -> None:
    """While the server is gone appends are refused; after its restart they are taken again."""
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        await publisher.append(ENTRY)
        own_queue_server.stop(signal.SIGKILL)
        await until(lambda: bool(publisher.away))
        with pytest.raises(Unavailable):
            await publisher.append(entry(2))
        own_queue_server.start()
        await is_connected(publisher)
        await publisher.append(entry(3))
        client = redis.Redis(port=own_queue_server.port)
        found = [decode(fields).session for _, fields in client.xrange(stream_key(0))]
        client.close()
    assert found == ["sess_1", "sess_3"]


async def test_stalled(own_queue_server: QueueServer) -> None:
    """A server that does not answer in time makes every waiting append Unavailable, at once."""
    async with publishing(own_queue_server.url, append_timeout_s="1") as publisher:
        await is_connected(publisher)
        assert own_queue_server._process is not None
        own_queue_server._process.send_signal(signal.SIGSTOP)
        results = await asyncio.gather(
            *(publisher.append(entry(n)) for n in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [Unavailable] * 3
        assert publisher._inflight_bytes == 0
        own_queue_server._process.send_signal(signal.SIGCONT)
        await is_connected(publisher)
        await publisher.append(ENTRY)


async def test_bytes_in_flight(own_queue_server: QueueServer) -> None:
    """Over the bound of bytes in flight the answer is overloaded, and nothing more is held."""
    bounds = {
        "inflight_bytes_max": "1000000",
        "body_bytes_max": "1000000",
        "decoded_bytes_max": "1000000",
        "append_timeout_s": "1",
    }
    large = msgspec.structs.replace(ENTRY, body=b"x" * 400_000)
    async with publishing(own_queue_server.url, **bounds) as publisher:
        await is_connected(publisher)
        assert own_queue_server._process is not None
        own_queue_server._process.send_signal(signal.SIGSTOP)
        results = await asyncio.gather(
            *(publisher.append(large) for _ in range(4)), return_exceptions=True
        )
        own_queue_server._process.send_signal(signal.SIGCONT)
    reasons = [result.reason for result in results if isinstance(result, Unavailable)]
    assert (
        sorted(reason.code for reason in reasons) == ["overloaded"] * 2 + ["queue_unavailable"] * 2
    )


async def test_memory_full(own_queue_server: QueueServer) -> None:
    """A server at maxmemory makes it backlog_full, counted, with the connection kept."""
    client = redis.Redis(port=own_queue_server.port)
    client.config_set("maxmemory", "1")
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        with pytest.raises(Unavailable) as refused:
            await publisher.append(ENTRY)
        assert refused.value.reason is Reason.BACKLOG_FULL
        assert publisher._meter.get(Metric.APPEND_FAILURES, "backlog_full") == 1
        assert publisher.full == "The queue is out of memory"
        assert not publisher.away
        client.config_set("maxmemory", "0")
        await until(lambda: not publisher.full)  # though nobody sends anything
        await publisher.append(ENTRY)
    client.close()


async def test_server_that_may_not_write(own_queue_server: QueueServer) -> None:
    """A server that has become a replica is left, so that a connection finds the new master."""
    client = redis.Redis(port=own_queue_server.port)
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(Unavailable) as refused:
            await publisher.append(ENTRY)
        assert refused.value.reason is Reason.QUEUE_UNAVAILABLE
        await until(lambda: bool(publisher.away))
        client.replicaof("NO", "ONE")
        await is_connected(publisher)
        await publisher.append(ENTRY)
    client.close()


async def test_waiter_that_left(queue: Redis, shared_queue_server: QueueServer) -> None:
    """A request that is cancelled while it waits disturbs neither its group nor the bound."""
    async with publishing(shared_queue_server.url) as publisher:
        await is_connected(publisher)
        leaving = asyncio.create_task(publisher.append(entry(1)))
        staying = asyncio.create_task(publisher.append(entry(2)))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == "fsynced"
        assert publisher._inflight_bytes == 0


async def test_stop_leaves_nobody_waiting(own_queue_server: QueueServer) -> None:
    """Cancelling the publisher answers those that wait."""
    async with AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(publishing(own_queue_server.url))
        await is_connected(publisher)
        assert own_queue_server._process is not None
        own_queue_server._process.send_signal(signal.SIGSTOP)
        waiting = asyncio.create_task(publisher.append(ENTRY))
        await asyncio.sleep(0.05)
        await stack.aclose()
        with pytest.raises(Unavailable):
            await waiting
        own_queue_server._process.send_signal(signal.SIGCONT)


@pytest.fixture
def server_with(tmp_path: Path) -> Callable[..., QueueServer]:
    """Starts servers with other settings; they end with the test."""
    started: list[QueueServer] = []

    def start(*options: str) -> QueueServer:
        server = QueueServer(tmp_path, *options)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop(signal.SIGKILL)


async def test_waitaof(server_with: Callable[..., QueueServer]) -> None:
    """Where the server syncs every second, fsynced takes one WAITAOF for each group."""
    server = server_with("--appendonly", "yes", "--appendfsync", "everysec")
    client = redis.Redis(port=server.port)
    try:
        client.execute_command("WAITAOF", 0, 0, 0)
    except redis.ResponseError:  # Redis before 7.2 cannot tell: no append may claim to be synced
        async with publishing(server.url) as publisher:
            await until(lambda: "appendfsync always" in publisher.away)
        client.close()
        return
    async with publishing(server.url) as publisher:
        await is_connected(publisher)
        results = await asyncio.gather(*(publisher.append(entry(n)) for n in range(50)))
        assert results == ["fsynced"] * 50
    calls = client.info("commandstats")["cmdstat_waitaof"]["calls"]
    client.close()
    assert 2 <= calls <= 4  # one of them this test's own


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--appendonly", "no"), "append-only"),
        (("--appendonly", "yes", "--appendfsync", "no"), "appendfsync"),
    ],
)
async def test_tier_out_of_reach(
    server_with: Callable[..., QueueServer], options: tuple[str, ...], said: str
) -> None:
    """A server that cannot sync is not promised to: appends are refused, and readiness says why."""
    server = server_with(*options)
    async with publishing(server.url) as publisher:
        await until(lambda: said in publisher.away)
        with pytest.raises(Unavailable):
            await publisher.append(ENTRY)
    async with publishing(server.url, ack="memory") as publisher:
        await is_connected(publisher)
        assert await publisher.append(ENTRY) == "memory"
