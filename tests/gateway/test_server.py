"""What is not HTTP, byte by byte: the contract's words, a counter, and silence in the log."""

import asyncio

import pytest

from core.metrics import Metric
from tests.gateway.conftest import EACH_TRANSPORT, Running, Start
from tests.raw_http import PATH, exchange, read_reply

pytestmark = EACH_TRANSPORT

HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\n" % PATH.encode()
BROKEN = {
    "no-http": b"GARBAGE\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "length-not-a-number": HEAD + b"Content-Length: x\r\n\r\n",
    "length-negative": HEAD + b"Content-Length: -1\r\n\r\n",
    "two-lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length-and-chunked": HEAD
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "huge-header": HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "nul-in-header": HEAD + b"X: a\x00b\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_broken(
    running: Running, raw: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    """Broken HTTP is 400 bad_request in JSON, the connection is closed, nothing is logged."""
    capsys.readouterr()
    reply = await exchange(running.gateway.port, raw)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert caplog.records == []
    assert "".join(capsys.readouterr()) == ""
    assert running.gateway.endpoint._meter.get(Metric.REQUESTS, "400", "bad_request") == 1
    assert await running.entries() == []


async def test_broken_chunk(start: Start, capsys: pytest.CaptureFixture) -> None:
    """A chunked body that breaks after its headers is answered in time, as the sender's fault."""
    running = await start(CONTOX_BODY_TIMEOUT_S="1")
    capsys.readouterr()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.write(b"zz\r\nhello\r\n")
    reply = await read_reply(reader)
    assert reply.status in (400, 408)
    assert "".join(capsys.readouterr()) == ""
    writer.close()


async def test_leaving_mid_body_is_silent(running: Running, capsys: pytest.CaptureFixture) -> None:
    """A client that leaves in the middle of its body is not an error of ours."""
    capsys.readouterr()
    request = running.producer.request()
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
        writer.write(request[:-5])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
    await asyncio.sleep(0.1)
    assert "".join(capsys.readouterr()) == ""
    assert running.gateway.connections._open == {}


async def test_expectations(running: Running) -> None:
    """A client that waits to be asked for its body is asked; other expectations are refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    request = running.producer.request(added=[("Expect", "100-continue")])
    head, _, body = request.partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_reply(reader)).status == 202
    writer.close()
    reply = await running.producer.post(added=[("Expect", "foo")])
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
