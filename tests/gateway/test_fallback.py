"""A gateway with a spool, over HTTP, whose queue is killed, stalled and started again."""

import asyncio
import signal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from core.codec import Entry, decode
from core.metrics import Meter, Metric
from core.partitions import stream_key
from core.settings import SettingError, read
from gateway.main import serving
from gateway.spool import opened
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.gateway.conftest import Running, Start, until
from tests.gateway.test_spool import on_disk, settings_of
from tests.raw_http import Reply, exchange


@pytest.fixture
async def spooling(start: Start, own_queue_server: QueueServer, tmp_path: Path) -> Running:
    """A gateway with a spool, on a queue that the test may kill."""
    return await start(
        CONTOX_REDIS_URL=own_queue_server.url,
        CONTOX_SPOOL_DIR=str(tmp_path / "spool"),
        CONTOX_SPOOL_BYTES_MAX=str(1 << 20),
        CONTOX_APPEND_TIMEOUT_S="1",
    )


def event(number: int, size: int = 1) -> bytes:
    """An event with its number as its id."""
    return b'{"event":"saved","id":"e%d","payload":{"x":"%s"}}' % (number, b"x" * size)


def numbers(entries: list[Entry]) -> list[int]:
    """The events' numbers, in order."""
    return [int(entry.body.split(b'"e')[2].split(b'"')[0]) for entry in entries]


async def in_queue(server: QueueServer) -> list[Entry]:
    """What the queue holds."""
    queue = open_queue(server.url)
    entries = [decode(fields) for _, fields in await queue.xrange(stream_key(0))]
    await queue.aclose()
    return entries


async def readyz(running: Running) -> Reply:
    """The readiness page."""
    return await exchange(running.gateway.port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")


async def lose_queue(running: Running, server: QueueServer) -> None:
    """Kill the queue, and wait until the gateway has noticed."""
    server.stop(signal.SIGKILL)
    await until(lambda: bool(running.gateway.publisher.away))


async def test_away_and_back(
    spooling: Running, own_queue_server: QueueServer, tmp_path: Path
) -> None:
    """Without its queue the gateway answers 202 `spooled`, and is ready; when the queue is back
    what was spooled gets there in order, while new events reach the usual durability."""
    first = await spooling.producer.post(event(0))
    assert (first.status, first.headers["x-contox-durability"]) == (202, "fsynced")
    assert (await readyz(spooling)).json["degraded"] == []
    await lose_queue(spooling, own_queue_server)
    for number in range(1, 40):
        reply = await spooling.producer.post(event(number))
        assert (reply.status, reply.headers["x-contox-durability"]) == (202, "spooled")
        assert reply.json["sessionId"] == first.json["sessionId"]
    spool = tmp_path / "spool"
    assert numbers(on_disk(spool)) == list(range(1, 40))
    ready = await readyz(spooling)
    assert (ready.status, ready.json["missing"]) == (200, [])
    away, held = ready.json["degraded"]
    assert away.startswith("The queue is away: ")
    assert held.startswith("39 entries (")
    own_queue_server.start()
    await until(lambda: not spooling.gateway.publisher.away)
    new = await spooling.producer.post(event(99))
    assert (new.status, new.headers["x-contox-durability"]) == (202, "fsynced")
    spooled = spooling.gateway.spooled
    assert spooled is not None
    await until(lambda: not spooled.spool.entries)
    found = numbers(await in_queue(own_queue_server))
    found.remove(99)
    assert found == list(range(40))
    assert (await readyz(spooling)).json == {"status": "ready", "missing": [], "degraded": []}
    assert spooling.gateway.endpoint._meter.get(Metric.EVENTS_ACCEPTED, "spooled") == 39


async def test_stalled(spooling: Running, own_queue_server: QueueServer) -> None:
    """A queue that stalls with the append under way: its outcome is unknown, so it is spooled;
    the next request does not wait for it."""
    await spooling.producer.post(event(0))
    assert own_queue_server._process is not None
    own_queue_server._process.send_signal(signal.SIGSTOP)
    reply = await spooling.producer.post(event(1))
    assert (reply.status, reply.headers["x-contox-durability"]) == (202, "spooled")
    async with asyncio.timeout(0.5):
        reply = await spooling.producer.post(event(2))
    assert (reply.status, reply.headers["x-contox-durability"]) == (202, "spooled")
    own_queue_server._process.send_signal(signal.SIGCONT)
    spooled = spooling.gateway.spooled
    assert spooled is not None
    await until(lambda: not spooled.spool.entries)
    assert numbers(await in_queue(own_queue_server)) in ([0, 1, 1, 2], [0, 1, 2])


async def test_everything_cold(spooling: Running, own_queue_server: QueueServer) -> None:
    """A project whose keys and session are not in memory is taken too, and its session stays
    when the queue is back."""
    await lose_queue(spooling, own_queue_server)
    replies = [await spooling.producer.post(event(n)) for n in range(2)]
    assert [reply.status for reply in replies] == [202, 202]
    own_queue_server.start()
    await until(lambda: not spooling.gateway.publisher.away)
    replies.append(await spooling.producer.post(event(2)))
    assert replies[2].headers["x-contox-durability"] == "fsynced"
    sessions = {reply.json["sessionId"] for reply in replies}
    queue = open_queue(own_queue_server.url)
    assert sessions == {(await queue.get("contox:session:proj_1")).decode()}
    await queue.aclose()


async def test_full(spooling: Running, own_queue_server: QueueServer) -> None:
    """A full spool is 503 and turns readiness red; with the queue back all is well again."""
    await lose_queue(spooling, own_queue_server)
    replies = [await spooling.producer.post(event(n, 200_000)) for n in range(6)]
    assert [reply.status for reply in replies] == [202] * 5 + [503]
    assert replies[5].json["code"] == "queue_unavailable"
    assert "the spool is full" in replies[5].json["error"]
    assert "retry-after" in replies[5].headers
    ready = await readyz(spooling)
    assert ready.status == 503
    assert [sentence[:12] for sentence in ready.json["missing"]] == ["The queue is", "The spool is"]
    own_queue_server.start()
    spooled = spooling.gateway.spooled
    assert spooled is not None
    await until(lambda: not spooled.spool.entries)
    assert (await readyz(spooling)).status == 200
    assert numbers(await in_queue(own_queue_server)) == list(range(5))


async def test_broken(spooling: Running, own_queue_server: QueueServer) -> None:
    """A spool that cannot be written is told while the queue is there, and red while it is not."""
    spooled = spooling.gateway.spooled
    assert spooled is not None
    spooled.spool.away = "The spool cannot be written: no"
    ready = await readyz(spooling)
    assert (ready.status, ready.json["degraded"]) == (200, ["The spool cannot be written: no"])
    await lose_queue(spooling, own_queue_server)
    spooled.spool.away = "The spool cannot be written: no"
    ready = await readyz(spooling)
    assert ready.status == 503
    assert ready.json["missing"][1] == "The spool cannot be written: no"


async def test_full_backlog(spooling: Running, own_queue_server: QueueServer) -> None:
    """A queue that is there, and full, is not replaced: 503 backlog_full; nothing is spooled."""
    queue = open_queue(own_queue_server.url)
    await queue.config_set("maxmemory", "1")
    reply = await spooling.producer.post()
    assert (reply.status, reply.json["code"]) == (503, "backlog_full")
    assert spooling.gateway.spooled is not None
    assert spooling.gateway.spooled.spool.entries == 0
    await queue.config_set("maxmemory", "0")
    await queue.aclose()


async def test_without_a_spool(start: Start, own_queue_server: QueueServer) -> None:
    """Without a spool it is 503 and red, as ever."""
    running = await start(CONTOX_REDIS_URL=own_queue_server.url)
    await running.producer.post()
    await lose_queue(running, own_queue_server)
    assert (await running.producer.post()).json["code"] == "queue_unavailable"
    assert (await readyz(running)).status == 503
    own_queue_server.start()


async def test_second_gateway(spooling: Running, environ: dict[str, str], tmp_path: Path) -> None:
    """A second gateway on the same directory does not start."""
    assert spooling.gateway.spooled is not None
    settings = read({**environ, "CONTOX_SPOOL_DIR": str(tmp_path / "spool")})
    with pytest.raises(SettingError, match="in use by another gateway"):
        async with serving(settings, asyncio.Event()):
            pass


async def test_left_by_the_last_one(
    start: Start, queue: Redis, tmp_path: Path, environ: dict[str, str]
) -> None:
    """What the last process has left is drained without any request."""
    from tests.contracts.event_queue import ENTRY

    async with opened(settings_of(tmp_path), Meter("gateway")) as spool:
        assert spool is not None
        await spool.append(ENTRY)
    running = await start(CONTOX_SPOOL_DIR=str(tmp_path))
    spooled = running.gateway.spooled
    assert spooled is not None
    await until(lambda: not spooled.spool.entries)
    assert await running.entries() == [ENTRY]
