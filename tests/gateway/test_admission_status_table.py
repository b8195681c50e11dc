"""Every reason of the closed table over HTTP: how it comes about, its status, what was enqueued."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from core.errors import Reason
from core.metrics import Metric
from gateway.api.keys import KEYS_MAX, new_key
from tests.conftest import QueueServer
from tests.gateway.api.conftest import People
from tests.gateway.conftest import EACH_TRANSPORT, Start, batch_of, until
from tests.raw_http import EVENT, PATH, Headers, Reply, exchange

pytestmark = EACH_TRANSPORT

Cause = Callable[[Start, QueueServer], Awaitable[tuple[Reply, int]]]  # reply, entries before it
CAUSES: dict[Reason, Cause] = {}
WITH_RETRY_AFTER = {429, 503}


def causes(reason: Reason) -> Callable[[Cause], Cause]:
    """Registers how a reason comes about."""

    def register(cause: Cause) -> Cause:
        CAUSES[reason] = cause
        return cause

    return register


def by_request(reason: Reason, body: bytes, changed: Headers, **options: str) -> None:
    """Registers a request that is enough to bring a reason about."""

    async def cause(start: Start, _server: QueueServer) -> tuple[Reply, int]:
        running = await start(CONTOX_BODY_BYTES_MAX="5000")
        return await running.producer.post(body, changed=changed, **options), 0

    CAUSES[reason] = cause


by_request(Reason.BAD_REQUEST, EVENT, {"Content-Length": "x"})
by_request(Reason.INVALID_JSON, b"{", {})
by_request(Reason.INVALID_EVENT, b"{}", {})
by_request(Reason.EMPTY_BATCH, b"[]", {})
by_request(Reason.UNAUTHORIZED, EVENT, {"X-Contox-Signature": "sha256=0"})
by_request(Reason.NOT_FOUND, EVENT, {}, path="/api/v2/other")
by_request(Reason.METHOD_NOT_ALLOWED, b"", {}, method="GET", path=PATH)
by_request(Reason.TOO_LARGE, b" " * 5001, {})
by_request(Reason.UNSUPPORTED_MEDIA_TYPE, EVENT, {"Content-Type": "text/plain"})


@causes(Reason.FORBIDDEN)
async def disabled(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """The project is disabled."""
    running = await start()
    async with running.projects._engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE projects SET status = 'disabled'")
    return await running.producer.post(), 0


@causes(Reason.CONFLICT)
async def too_many_keys(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """A user makes one key more than there may be; ingest has no conflicts."""
    people = People(await start())
    ada = await people.add("ada")
    for n in range(KEYS_MAX):
        await people.keys.add(new_key(ada.user.id, str(n), n)[1])
    return await people.ask("POST", "/api/keys", ada.bearer, {"name": "x"}), 0


@causes(Reason.REQUEST_TIMEOUT)
async def slow(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """The body does not arrive."""
    running = await start(CONTOX_BODY_TIMEOUT_S="1")
    return await exchange(running.gateway.port, running.producer.request()[:-1]), 0


@causes(Reason.RATE_LIMITED)
async def greedy(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """The quota is used up by the request before."""
    running = await start(CONTOX_QUOTA_EVENTS_S="1")
    assert (await running.producer.post(batch_of(5))).status == 202
    return await running.producer.post(), 1


@causes(Reason.INTERNAL)
async def bug(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """A part of the gateway has a bug."""
    running = await start()
    running.gateway.admission._limits = None
    return await running.producer.post(), 0


@causes(Reason.QUEUE_UNAVAILABLE)
async def killed(start: Start, server: QueueServer) -> tuple[Reply, int]:
    """The queue has gone."""
    running = await start(CONTOX_REDIS_URL=server.url)
    assert (await running.producer.post()).status == 202
    server.stop(signal.SIGKILL)
    await until(lambda: bool(running.gateway.publisher.away))
    reply = await running.producer.post()
    server.start()
    return reply, 0


@causes(Reason.BACKLOG_FULL)
async def full(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """The backlog is at its bound."""
    running = await start(CONTOX_BACKLOG_ENTRIES_MAX="1")
    assert (await running.producer.post()).status == 202
    await until(lambda: running.gateway.backlog.full)
    return await running.producer.post(), 1


@causes(Reason.OVERLOADED)
async def busy(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """Too many bytes are in flight."""
    running = await start()
    running.gateway.publisher._inflight_bytes = 1 << 40
    reply = await running.producer.post()
    running.gateway.publisher._inflight_bytes = 0
    return reply, 0


@causes(Reason.SHUTTING_DOWN)
async def leaving(start: Start, _server: QueueServer) -> tuple[Reply, int]:
    """The gateway stops, and the body does not arrive before it must end."""
    running = await start()
    request = running.producer.request()[:-1]
    reply = asyncio.create_task(exchange(running.gateway.port, request))
    meter = running.gateway.endpoint._meter
    await until(lambda: meter.get(Metric.RECEIVING_BYTES) > 0)
    running.gateway.endpoint.receiving.end()
    return await reply, 0


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
async def test_every_reason(
    start: Start, own_queue_server: QueueServer, queue: object, reason: Reason
) -> None:
    """Each reason answers its status and code in JSON, and nothing is enqueued for it."""
    reply, before = await CAUSES[reason](start, own_queue_server)
    assert (reply.status, reply.json["code"]) == (reason.status, reason.code)
    assert sorted(reply.json) == ["code", "error"]
    assert ("retry-after" in reply.headers) == (reason.status in WITH_RETRY_AFTER)
    assert await queue.xlen("ingest:{0}") == before  # type: ignore[attr-defined]
