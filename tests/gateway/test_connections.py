"""Bad clients on real sockets: slow heads, too many, silent, deaf, gone; and the others served."""

import asyncio
import contextlib
import resource
import socket

import pytest

from core.metrics import Metric
from core.settings import Settings
from gateway import connections as module
from gateway.connections import FILES_SPARE, files_allowed
from tests.gateway.conftest import EACH_TRANSPORT, Running, Start, until
from tests.raw_http import PATH, read_reply

pytestmark = EACH_TRANSPORT

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
METRICS = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def metered(running: Running, metric: Metric) -> float:
    """What the gateway has counted."""
    return running.gateway.endpoint._meter.get(metric)


async def connect(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that the gateway has taken notice of."""
    before = len(running.gateway.connections._open)
    streams = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    await until(lambda: len(running.gateway.connections._open) > before)
    return streams


async def test_trickled_head(start: Start) -> None:
    """Bytes that keep coming do not give a head more time: 408, and the connection is closed."""
    running = await start(CONTOX_HEADER_TIMEOUT_S="1")
    reader, writer = await connect(running)
    writer.write(HEAD + b"X: ")

    async def trickle() -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert reply.json["error"] == "The headers did not arrive in time"
    trickling.cancel()
    await until(lambda: running.gateway.connections._open == {})
    assert metered(running, Metric.CONNECTIONS_TIMED_OUT) == 1
    writer.close()


async def test_silent(start: Start) -> None:
    """A connection that sends nothing is closed without an answer after the same time."""
    running = await start(CONTOX_HEADER_TIMEOUT_S="1")
    reader, writer = await connect(running)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    assert metered(running, Metric.CONNECTIONS_TIMED_OUT) == 1
    writer.close()


async def test_time_of_a_later_head(start: Start) -> None:
    """On a connection that is kept, the time of the next head runs from its first byte."""
    running = await start(CONTOX_HEADER_TIMEOUT_S="1")
    reader, writer = await connect(running)
    writer.write(running.producer.request())
    assert (await read_reply(reader)).status == 202
    writer.write(HEAD)
    assert (await read_reply(reader)).status == 408
    writer.close()


async def test_only_heads_have_this_time(start: Start) -> None:
    """Neither an idle connection nor a body that is arriving is closed for want of a head."""
    running = await start(CONTOX_HEADER_TIMEOUT_S="1")
    request = running.producer.request()
    idle_reader, idle = await connect(running)
    idle.write(request)
    assert (await read_reply(idle_reader)).status == 202
    slow_reader, slow = await connect(running)
    slow.write(request[:-9])
    for byte in request[-9:-5]:
        await asyncio.sleep(0.01)
        slow.write(bytes([byte]))
    for _ in range(2):  # two full times after the others began
        silent_reader, silent = await connect(running)
        assert await silent_reader.read() == b""
        silent.close()
    slow.write(request[-5:])
    idle.write(request)
    for reader, writer in ((slow_reader, slow), (idle_reader, idle)):
        assert (await read_reply(reader)).status == 202
        writer.close()


async def test_endless_head(running: Running) -> None:
    """A head of many small lines is refused once it is over its bound, while it arrives."""
    reader, writer = await connect(running)
    writer.write(HEAD + b"".join(b"X%d: %s\r\n" % (n, b"a" * 1000) for n in range(40)))
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    writer.close()


async def test_bad_head_behind_a_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is given up behind a request under way is answered in its turn, and once."""
    running = await start(CONTOX_LANE="0")  # what it looks into is aiohttp's
    check, may = running.gateway.admission.check, asyncio.Event()

    async def check_later(*arguments: object) -> object:
        await may.wait()
        return await check(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(running.gateway.admission, "check", check_later)
    reader, writer = await connect(running)
    writer.write(running.producer.request())
    await until(lambda: metered(running, Metric.RECEIVING_BYTES) > 0)
    (protocol,) = running.gateway.connections._open
    for n in range(100):
        protocol.data_received((HEAD if not n else b"") + b"X%d: %s\r\n" % (n, b"a" * 1000))  # type: ignore[attr-defined]
    assert len(protocol._messages) == 1  # type: ignore[attr-defined]
    may.set()
    assert [(await read_reply(reader)).status for _ in range(2)] == [202, 400]
    assert await reader.read() == b""
    writer.close()


async def test_connection_limit(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the limit a connection is closed at once; when another has left, there is room."""
    running = await start(CONTOX_CONNECTIONS_MAX="2")
    (_, first), (reader, second) = await connect(running), await connect(running)
    capsys.readouterr()
    for _ in range(3):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await running.producer.post()
    assert metered(running, Metric.CONNECTIONS_REFUSED) == 3
    assert metered(running, Metric.CONNECTIONS) == 2
    assert "".join(capsys.readouterr()).count("connections refused") == 1
    second.write(running.producer.request())
    assert (await read_reply(reader)).status == 202
    first.close()
    await until(lambda: metered(running, Metric.CONNECTIONS) == 1)
    assert (await running.producer.post()).status == 202
    second.close()


async def test_a_thousand_idle_clients(running: Running) -> None:
    """While 1,000 clients are connected and send nothing, every other request is answered."""
    port = running.gateway.port
    idle = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(1000)]
    replies = [await running.producer.post() for _ in range(20)]
    assert [reply.status for reply in replies] == [202] * 20
    assert metered(running, Metric.CONNECTIONS) >= 1000
    for writer in idle:
        writer.transport.abort()
    await until(lambda: metered(running, Metric.CONNECTIONS) == 0)


@pytest.mark.parametrize("sent", [0, 30, -10, None], ids=["nothing", "head", "body", "all"])
async def test_clients_that_vanish(
    running: Running, sent: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients that vanish, however far they have come, leave nothing behind and disturb nobody."""
    capsys.readouterr()
    part = running.producer.request()[:sent]
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
        writer.write(part)
        await writer.drain()
        writer.transport.abort()
    assert (await running.producer.post()).status == 202
    await until(lambda: metered(running, Metric.CONNECTIONS) == 0)
    await until(lambda: metered(running, Metric.RECEIVING_BYTES) == 0)
    assert running.gateway.connections._heads == {}
    assert "".join(capsys.readouterr()) == ""


async def test_deaf(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks and asks but never reads an answer is cut off; one that reads is not."""
    monkeypatch.setattr(module, "SWEEP_S", 0.05)
    monkeypatch.setattr(module, "UNREAD_S", 0.5)
    running = await start()
    reader, writer = await connect(running)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", running.gateway.port))
    await until(lambda: metered(running, Metric.CONNECTIONS) == 2)
    asking = asyncio.create_task(loop.sock_sendall(deaf, METRICS * 20_000))
    await until(lambda: metered(running, Metric.CONNECTIONS) == 1, 30)
    with contextlib.suppress(ConnectionError):
        await asking
    deaf.close()
    writer.write(METRICS)
    assert (await read_reply(reader)).status == 200
    writer.close()


async def test_limit_of_files() -> None:
    """As many files as needed are asked for, and no more than the system allows are counted on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (800, hard))
        assert files_allowed(700) == 700
        assert files_allowed(900) == 900
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (900, hard)
        if hard != resource.RLIM_INFINITY:
            assert files_allowed(hard + 1) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_too_few_files(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows fewer files, fewer connections are taken: the queue needs some."""
    monkeypatch.setattr(module, "files_allowed", lambda wanted: min(wanted, FILES_SPARE + 1))
    connections = module.Connections(Settings(), running.gateway.endpoint._meter)
    connections.fit_files()
    assert connections._max == 1
