"""Bodies that arrive: what they may hold of the memory together, and that they give it back."""

import asyncio

import pytest

from core.metrics import Metric
from tests.gateway.conftest import EACH_TRANSPORT, Running, Start, until
from tests.raw_http import EVENT, Headers, chunked, exchange, read_reply

pytestmark = EACH_TRANSPORT

BODY = b'{"event":"saved","payload":{"x":"' + b"a" * 1900 + b'"}}'


@pytest.fixture
async def small(start: Start) -> Running:
    """A gateway that holds two bodies, not three."""
    return await start(
        CONTOX_BODY_BYTES_MAX="2000",
        CONTOX_EVENT_BYTES_MAX="2000",
        CONTOX_DECODED_BYTES_MAX="4000",
        CONTOX_INFLIGHT_BYTES_MAX="4000",
        CONTOX_BODY_TIMEOUT_S="2",
    )


def held(running: Running) -> float:
    """Body bytes in memory."""
    return running.gateway.endpoint._meter.get(Metric.RECEIVING_BYTES)


async def test_sum(small: Running) -> None:
    """The body that would exceed the sum is 503 overloaded, signed or not; the others go on."""
    request = small.producer.request(BODY)
    slow = []
    for number in (1, 2):
        reader, writer = await asyncio.open_connection("127.0.0.1", small.gateway.port)
        writer.write(request[:-1])
        slow.append((reader, writer))
        await until(lambda n=number: held(small) == n * (len(BODY) - 1))  # type: ignore[misc]
    for changed in ({}, {"X-Contox-Signature": "none"}):
        reply = await small.producer.post(BODY, changed=changed)
        assert (reply.status, reply.json["code"]) == (503, "overloaded")
        assert int(reply.headers["retry-after"]) > 0
    for reader, writer in slow:
        writer.write(request[-1:])
        assert (await read_reply(reader)).status == 202
        writer.close()
    assert held(small) == 0
    assert len(await small.entries()) == 2


async def test_announced_is_not_received(small: Running) -> None:
    """Lengths that are announced hold nothing: only bytes that have arrived count."""
    head = small.producer.request(BODY)[: -len(BODY)]
    writers = []
    for _ in range(10):
        _, writer = await asyncio.open_connection("127.0.0.1", small.gateway.port)
        writer.write(head)
        writers.append(writer)
    receiving = small.gateway.endpoint.receiving
    await until(lambda: len(receiving._times) + len(receiving._arrivals) == 10)
    assert (await small.producer.post(BODY)).status == 202
    for writer in writers:
        writer.transport.abort()


async def test_given_back(small: Running) -> None:
    """Whatever the answer, and if there is none, the bytes are given back."""
    port, request = small.gateway.port, small.producer.request
    unknown: Headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
    long = request(b"", changed=unknown) + chunked(b" " * 2001)
    assert (await small.producer.post(BODY)).status == 202
    assert (await small.producer.post(BODY, changed={"X-Contox-Signature": None})).status == 401
    assert (await exchange(port, long)).status == 413
    assert (await exchange(port, request(EVENT)[:-1])).status == 408
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(BODY)[:-1])
    await until(lambda: held(small) > 0)
    writer.transport.abort()
    await until(lambda: held(small) == 0)
    small.gateway.admission._limits = None  # type: ignore[assignment]
    small.gateway.connections.ready.usual = lambda taken: taken
    assert (await small.producer.post(BODY)).status == 500
    assert held(small) == 0


async def test_end(small: Running) -> None:
    """When the gateway must end, bodies that have not arrived are 503, not taken; others are."""
    request = small.producer.request(EVENT)
    answer = asyncio.create_task(exchange(small.gateway.port, request[:-1]))
    await until(lambda: held(small) > 0)
    small.gateway.endpoint.receiving.end()
    reply = await answer
    assert (reply.status, reply.json["code"]) == (503, "shutting_down")
    assert await small.entries() == []
    assert (await exchange(small.gateway.port, request)).status == 202
