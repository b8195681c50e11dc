"""A connection taken over from the client library, on a server of ours that says what it likes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError  # noqa: A004 - what the wire raises

from gateway.wire import Replies, ReplyError, Wire

Opened = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens a wire to a server that answers what is given, a byte at a time, and then closes;
    with a timeout given, it does not close."""
    servers, connections = [], []
    writers: list[asyncio.StreamWriter] = []

    async def open_one(answer: bytes, timeout_s: float = 5) -> Wire:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await reader.readuntil(b"GO")
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            if timeout_s == 5:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        connection = Connection(port=port)
        connections.append(connection)
        await connection._connect()  # without the handshake: this is no real server
        return Wire(connection, timeout_s)

    yield open_one
    for connection in connections:
        await connection.disconnect(nowait=True)
    for writer in writers:
        writer.close()
    for server in servers:
        server.close()


async def test_late(opened: Opened) -> None:
    """A connection whose replies are not there in time is given up, however many were before."""
    wire = await opened(b"+OK\r\n+OK\r\n", timeout_s=0.2)
    told: list[Replies] = []
    wire.exchange(b"a", 1, told.append)
    wire.exchange(b"GO", 1, told.append)
    await asyncio.sleep(0.15)
    wire.exchange(b"b", 1, told.append)
    await asyncio.wait({wire.lost}, timeout=10)
    with pytest.raises(ConnectionError, match="did not answer in time"):
        wire.lost.result()
    assert told == [[b"OK"], [b"OK"]]


async def test_replies_in_order(opened: Opened) -> None:
    """Each exchange is told its own replies, however they are cut; an error is a value."""
    wire = await opened(b"+OK\r\n*2\r\n:1\r\n$1\r\nx\r\n-OOM used\r\n:7\r\n")
    told: list[Replies] = []
    wire.exchange(b"a", 2, told.append)
    wire.exchange(b"b", 1, told.append)
    wire.exchange(b"GO", 1, told.append)
    assert len(wire) == 3
    await asyncio.wait({wire.lost}, timeout=10)
    assert told[0] == [b"OK", [1, b"x"]]
    assert told[2] == [7]
    (error,) = told[1]
    assert isinstance(error, ReplyError)
    assert error.out_of_memory
    assert len(wire) == 0


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400\r\n", b"+OK\r\n+more\r\n"], ids=["closed", "no RESP", "too much"]
)
async def test_lost(opened: Opened, answer: bytes) -> None:
    """A connection that is closed, or says what was not asked for, is lost; it tells so once."""
    wire = await opened(answer)
    told: list[Replies] = []
    wire.exchange(b"GO", 1, told.append)
    await asyncio.wait({wire.lost}, timeout=10)
    with pytest.raises(ConnectionError):
        wire.lost.result()
    assert len(told) == (answer == b"+OK\r\n+more\r\n")
    wire.exchange(b"x", 1, told.append)  # neither raises nor is answered
    wire.fail(ValueError("another cause"))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        wire.lost.result()
