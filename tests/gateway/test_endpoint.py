"""POST /api/v2/ingest over a real socket: how bodies arrive, other paths, clients that leave."""

import asyncio

import pytest

from core.metrics import Metric
from gateway import endpoint
from tests.gateway.conftest import EACH_TRANSPORT, NOW, Running, Start, batch_of, until
from tests.raw_http import EVENT, PATH, Headers, Producer, chunked, exchange, read_reply

pytestmark = EACH_TRANSPORT

BATCH = b"[" + EVENT + b"," + EVENT + b"]"


async def test_size_before_authentication(producer: Producer) -> None:
    """A body over the limit is 413 without its signature being looked at."""
    reply = await producer.post(b" " * 2001, changed={"X-Contox-Signature": None})
    assert reply.status == 413


async def test_chunked(running: Running, producer: Producer) -> None:
    """A body without a length is taken, and its limit is counted while it arrives."""
    unknown: Headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
    for body, status in ((EVENT, 202), (b" " * 2001, 413)):
        request = producer.request(body, changed=unknown, timestamp=NOW)
        reply = await exchange(producer.port, request[: -len(body)] + chunked(body))
        assert reply.status == status
    assert len(await running.entries()) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", PATH, 405, "method_not_allowed"),
        ("PUT", PATH, 405, "method_not_allowed"),
        ("POST", "/api/v2/ingest/", 404, "not_found"),
        ("POST", "/api/v1/ingest", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
    ],
)
async def test_other_paths(
    producer: Producer, method: str, path: str, status: int, code: str
) -> None:
    """Another method or path is answered in the contract's words."""
    reply = await producer.post(b"", method=method, path=path)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert reply.headers.get("allow") == ("POST" if status == 405 else None)


async def test_body_not_in_time(start: Start) -> None:
    """A body that does not arrive in time is 408, and the connection is closed."""
    running = await start(CONTOX_BODY_TIMEOUT_S="1")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    writer.write(running.producer.request()[:-1])
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert await reader.read() == b""
    writer.close()
    assert await running.entries() == []


@pytest.mark.parametrize("whole", [True, False], ids=["after-the-body", "within-the-body"])
async def test_client_leaves(running: Running, producer: Producer, whole: bool) -> None:
    """A client that leaves before its answer disturbs nobody else."""
    request = producer.request(timestamp=NOW)
    _, writer = await asyncio.open_connection("127.0.0.1", producer.port)
    writer.write(request if whole else request[:-5])
    await writer.drain()
    writer.transport.abort()
    reply = await producer.post(timestamp=NOW)
    assert reply.status == 202
    assert len(await running.entries()) <= 2


async def test_keep_alive_and_pipelining(producer: Producer) -> None:
    """Two requests written at once on one connection get two answers in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", producer.port)
    writer.write(producer.request(timestamp=NOW) + producer.request(b"{}", timestamp=NOW))
    assert [(await read_reply(reader)).status for _ in range(2)] == [202, 400]
    writer.close()


async def test_counted(running: Running, producer: Producer) -> None:
    """Answers, events and causes of 401 show on the metrics page."""
    await producer.post(BATCH, timestamp=NOW)
    await producer.post(timestamp=NOW, changed={"X-Contox-Timestamp": "x"})
    page = await exchange(producer.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    text = page.body.decode()
    assert 'contox_ingest_requests_total{code="accepted",status="202"} 1.0' in text
    assert 'contox_ingest_requests_total{code="unauthorized",status="401"} 1.0' in text
    assert 'contox_ingest_events_accepted_total{durability="fsynced"} 2.0' in text
    assert 'contox_ingest_auth_failures_total{failure="bad_timestamp"} 1.0' in text


async def test_penalty(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 429 is held back, without its body; when too many are held, one is answered at once."""
    monkeypatch.setattr(endpoint, "PENALTY_S", 2)
    monkeypatch.setattr(endpoint, "PENALTIES_MAX", 1)
    running = await start(CONTOX_QUOTA_EVENTS_S="1")
    assert (await running.producer.post(batch_of(100))).status == 202
    held = asyncio.create_task(running.producer.post())
    await until(lambda: running.gateway.endpoint._penalties == 1)
    assert running.gateway.endpoint._meter.get(Metric.RECEIVING_BYTES) == 0
    assert (await running.producer.post()).status == 429
    assert not held.done()
    assert (await held).status == 429
    assert running.gateway.endpoint._penalties == 0


async def test_penalty_for_429_alone(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other answer is held back."""
    monkeypatch.setattr(endpoint, "PENALTY_S", 60)
    for body, status in ((EVENT, 202), (b"{", 400), (b" " * 2001, 413)):
        assert (await running.producer.post(body)).status == status
    assert (await running.producer.post(changed={"X-Contox-Signature": None})).status == 401
