"""How a gateway leaves: what producers see of it over their sockets, and in which order."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from core.metrics import Metric
from core.settings import read
from gateway import server
from gateway.lane import Lane
from gateway.main import Gateway, serving
from tests.gateway.conftest import EACH_TRANSPORT, SECRET, Running, until
from tests.raw_http import Producer, read_reply

pytestmark = EACH_TRANSPORT

BROKEN_OFF = (ConnectionError, asyncio.IncompleteReadError)
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


class Leaving:
    """A gateway beside the shared one, that can be stopped while a test looks on."""

    def __init__(self, gateway: Gateway, stack: AsyncExitStack) -> None:
        self.gateway = gateway
        self.producer = Producer(gateway.port, "proj_1", SECRET)
        self._stack = stack

    def stop(self) -> asyncio.Task[None]:
        """Begin to leave."""
        return asyncio.create_task(self._stack.aclose())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a request has been answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(self.producer.request())
        assert (await read_reply(reader)).status == 202
        return reader, writer


@pytest.fixture
async def leaving(environ: dict[str, str], running: Running, lane: str) -> AsyncIterator[Leaving]:
    """A gateway that serves; `running` has made its project."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            serving(read({**environ, "CONTOX_LANE": lane}), asyncio.Event())
        )
        await until(lambda: not gateway.publisher.away)
        yield Leaving(gateway, stack)


# asyncio's own loop, unlike uvloop, leaves what it took at the close to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_under_load(running: Running, leaving: Leaving) -> None:
    """Producers on kept connections see 202, and resets that a retry absorbs: nothing else.

    What they got a 202 for is in the queue.
    """
    statuses: list[int] = []

    async def produce() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", leaving.gateway.port)
            except OSError:
                return  # the port is closed
            try:
                closes = False
                while not closes:
                    writer.write(leaving.producer.request())
                    reply = await read_reply(reader)
                    statuses.append(reply.status)
                    closes = reply.headers.get("connection") == "close"
            except BROKEN_OFF:
                pass
            finally:
                writer.close()

    producers = [asyncio.create_task(produce()) for _ in range(16)]
    await until(lambda: len(statuses) > 200)
    leaving.gateway.connections.leaving = True  # the grace
    before = len(statuses)
    await until(lambda: len(statuses) > before + 200)
    await leaving.stop()
    gc.collect()
    await asyncio.gather(*producers)
    assert set(statuses) == {202}
    assert len(await running.entries()) >= len(statuses)


async def test_order(leaving: Leaving) -> None:
    """Idle connections and the port close first; what has begun is answered; then it ends."""
    idle_reader, idle = await leaving.connect()
    fresh_reader, fresh = await asyncio.open_connection("127.0.0.1", leaving.gateway.port)
    request = leaving.producer.request()
    begun = []
    for cut in (20, -3):  # within the head, within the body
        reader, writer = await leaving.connect()
        writer.write(request[:cut])
        begun.append((reader, writer, request[cut:]))
    meter = leaving.gateway.endpoint._meter
    await until(lambda: meter.get(Metric.RECEIVING_BYTES) > 0)
    await until(lambda: len(leaving.gateway.connections._heads) == 2)  # fresh, and one begun
    stop = leaving.stop()
    async with asyncio.timeout(4):
        assert await idle_reader.read() == b""
        assert await fresh_reader.read() == b""
    with pytest.raises(OSError):
        await leaving.producer.post()
    assert not stop.done()
    for reader, writer, rest in begun:
        writer.write(rest)
        reply = await read_reply(reader)
        assert (reply.status, reply.headers["connection"]) == (202, "close")
        assert await reader.read() == b""
        writer.close()
    await stop
    idle.close()
    fresh.close()


async def test_answer_written_as_the_stop_begins(leaving: Leaving) -> None:
    """A connection that falls idle after the stop has begun is closed, too."""
    reader, writer = await leaving.connect()
    (protocol,) = leaving.gateway.connections._open
    if isinstance(protocol, Lane):
        protocol._buffer = b"P"
    else:
        protocol._head_bytes = 1  # type: ignore[attr-defined]
    stop = leaving.stop()
    await until(lambda: leaving.gateway.connections.finishing)
    if isinstance(protocol, Lane):
        protocol._buffer = b""
    else:
        protocol._head_bytes = 0  # type: ignore[attr-defined]
    async with asyncio.timeout(4):
        assert await reader.read() == b""
        await stop
    writer.close()


async def test_late(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has not finished in time: a body is 503, not taken; anything else is cut off."""
    monkeypatch.setattr(server, "FINISH_S", 0.2)
    monkeypatch.setattr(server, "CUT_S", 0.2)
    body_reader, body = await leaving.connect()
    body.write(leaving.producer.request()[:-1])
    meter = leaving.gateway.endpoint._meter
    await until(lambda: meter.get(Metric.RECEIVING_BYTES) > 0)
    admitted = asyncio.Event()

    async def admit(*_arguments: object) -> None:
        admitted.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(leaving.gateway.connections.ready, "usual", lambda taken: taken)
    monkeypatch.setattr(leaving.gateway.admission, "check_now", lambda *_: None)
    monkeypatch.setattr(leaving.gateway.admission, "check", admit)
    reader, writer = await asyncio.open_connection("127.0.0.1", leaving.gateway.port)
    writer.write(leaving.producer.request())
    await admitted.wait()
    stop = leaving.stop()
    reply = await read_reply(body_reader)
    assert (reply.status, reply.json["code"]) == (503, "shutting_down")
    with pytest.raises(BROKEN_OFF):
        await read_reply(reader)
    await stop
    assert "connections cut off" in "".join(capsys.readouterr())
    for each in (body, writer):
        each.close()


async def test_grace(leaving: Leaving) -> None:
    """In the grace every answer, of every path, asks its client to go elsewhere, and is given."""
    connections = [await leaving.connect() for _ in range(3)]
    leaving.gateway.connections.leaving = True
    requests = (leaving.producer.request(), leaving.producer.request(b"{}"), READY)
    statuses = []
    for (reader, writer), request in zip(connections, requests, strict=True):
        writer.write(request)
        reply = await read_reply(reader)
        statuses.append(reply.status)
        assert reply.headers["connection"] == "close"
        assert await reader.read() == b""
        writer.close()
    assert statuses == [202, 400, 503]
