"""The client against a real server, a port where nobody listens, and a server that says nothing."""

import asyncio
import subprocess
import sys
import time

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from runtime import queue as module
from runtime.queue import BACKOFF_FIRST_S, BACKOFF_MAX_S, QUEUE_ERRORS, Backoff, open_queue
from tests.conftest import QueueServer, free_port


async def test_resp_2(queue: Redis) -> None:
    """Replies are bytes in the shapes of RESP 2, on every server."""
    await queue.xadd("s", {"a": "1"})
    await queue.xgroup_create("s", "g", id="0")
    reply = await queue.xreadgroup("g", "c", {"s": ">"})
    ((name, ((_, fields),)),) = reply
    assert (name, fields) == (b"s", {b"a": b"1"})
    assert "resp=2" in str(await queue.execute_command("CLIENT", "INFO"))  # type: ignore[no-untyped-call]


async def test_connects_lazily(own_queue_server: QueueServer) -> None:
    """A client may be made before its server is there, and works once it is."""
    own_queue_server.stop()
    client = open_queue(own_queue_server.url)
    with pytest.raises(QUEUE_ERRORS):
        await client.ping()
    own_queue_server.start()
    assert await client.ping()
    await client.aclose()


async def test_no_retries() -> None:
    """Where nobody listens, the one attempt fails at once."""
    client = open_queue(f"redis://127.0.0.1:{free_port()}")
    started_s = time.monotonic()
    with pytest.raises(RedisConnectionError):
        await client.ping()
    assert time.monotonic() - started_s < 2
    await client.aclose()


async def test_reply_timeout() -> None:
    """A server that does not answer is an error after the time for replies, not a wait forever."""
    connections = 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    client = open_queue(
        f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", reply_timeout_s=0.1
    )
    with pytest.raises(QUEUE_ERRORS):
        await client.ping()
    await client.aclose()
    server.close()
    assert connections == 1


async def test_password(own_queue_server: QueueServer) -> None:
    """The URL's password is used, and a wrong one is among the errors of a queue that is away."""
    admin = open_queue(own_queue_server.url)
    await admin.config_set("requirepass", "p@ss")
    await admin.aclose()
    for password, right in (("p%40ss", True), ("other", False)):
        client = open_queue(own_queue_server.url.replace("//", f"//:{password}@"))
        if right:
            assert await client.ping()
        else:
            with pytest.raises(QUEUE_ERRORS):
                await client.ping()
        await client.aclose()


async def test_error_replies(queue: Redis) -> None:
    """What the server refuses is a ResponseError, and that is a queue error too."""
    await queue.set("text", "x")
    with pytest.raises(ResponseError) as refused:
        await queue.incr("text")
    assert isinstance(refused.value, QUEUE_ERRORS)


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.999999, 1.0)])
async def test_backoff(monkeypatch: pytest.MonkeyPatch, chance: float, share: float) -> None:
    """Waits double from the first to the longest, each between half of it and all of it."""
    waits: list[float] = []

    async def note(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr(module, "random", lambda: chance)
    monkeypatch.setattr(module.asyncio, "sleep", note)
    backoff = Backoff()
    for _ in range(8):
        await backoff.wait()
    backoff.reset()
    await backoff.wait()
    monkeypatch.undo()
    doubled = [BACKOFF_FIRST_S * 2**n for n in range(8)]
    expected = [min(wait_s, BACKOFF_MAX_S) * share for wait_s in [*doubled, BACKOFF_FIRST_S]]
    assert waits == pytest.approx(expected, rel=1e-4)


async def test_backoff_waits() -> None:
    """The wait is a real one, and others run meanwhile."""
    ran = False

    async def run() -> None:
        nonlocal ran
        ran = True

    task = asyncio.create_task(run())
    started_s = time.monotonic()
    await Backoff().wait()
    assert time.monotonic() - started_s >= BACKOFF_FIRST_S / 2 - 0.001
    assert ran
    await task


WRITE_TO_A_RESET_ONE = """
import asyncio, os, re, socket, struct, threading, uvloop
from redis.exceptions import ConnectionError
from runtime.queue import open_queue

listener = socket.create_server(("127.0.0.1", 0))
reset = threading.Event()

def serve():
    connection, _ = listener.accept()
    connection.settimeout(0.1)
    while not reset.is_set():
        try:
            commands = len(re.findall(rb"[*][0-9]+\\r\\n", connection.recv(65536)))
            connection.sendall(b"+OK\\r\\n" * commands)
        except TimeoutError:
            pass
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

async def main():
    url = "redis://127.0.0.1:%d" % listener.getsockname()[1]
    connection = open_queue(url).connection_pool.make_connection()
    await connection.connect()
    reset.set()
    await asyncio.sleep(0.5)
    try:
        await connection.send_packed_command(b"PING", check_health=False)
    except ConnectionError:
        os._exit(7)

threading.Thread(target=serve, daemon=True).start()
uvloop.run(main())
"""


def test_reset_connection_on_uvloop() -> None:
    """On uvloop, too, a write to a connection that the server has reset is an outage, not a bug."""
    command = [sys.executable, "-c", WRITE_TO_A_RESET_ONE]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 7, done.stderr.decode()


async def test_other_errors_stay_bugs(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A RuntimeError that says nothing of a lost connection is not taken for one."""

    async def fail(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(AbstractConnection, "send_packed_command", fail)
    with pytest.raises(RuntimeError, match="something else"):
        await queue.connection_pool.make_connection().send_packed_command(b"")
