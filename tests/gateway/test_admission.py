"""Who is let in: credentials, window, quota and room; the answer to each, and an empty queue."""

import asyncio

import pytest

from core.partitions import stream_key
from core.ports import Project, SealedSecret
from gateway.quotas import SYNC_S
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.gateway.conftest import EACH_TRANSPORT, NOW, SECRET, Running, Start, batch_of, until
from tests.raw_http import Headers, Producer, bomb, exchange

pytestmark = EACH_TRANSPORT

NOT_SIGNED: dict[str, Headers] = {
    "no-project": {"X-Contox-Project": None},
    "no-timestamp": {"X-Contox-Timestamp": None},
    "no-signature": {"X-Contox-Signature": None},
    "nothing": {"X-Contox-Project": None, "X-Contox-Timestamp": None, "X-Contox-Signature": None},
    "timestamp-empty": {"X-Contox-Timestamp": ""},
    "timestamp-negative": {"X-Contox-Timestamp": f"-{NOW}"},
    "timestamp-fraction": {"X-Contox-Timestamp": f"{NOW}.0"},
    "timestamp-40-digits": {"X-Contox-Timestamp": "1" * 40},
    "timestamp-other-digits": {"X-Contox-Timestamp": "１８００００００００".encode()},
    "timestamp-underscore": {"X-Contox-Timestamp": "1_800_000_000"},
    "signature-empty": {"X-Contox-Signature": ""},
    "signature-non-ascii": {"X-Contox-Signature": b"sha256=\xff\xfe" + "é".encode()},
    "signature-wrong": {"X-Contox-Signature": "sha256=" + "0" * 64},
    "project-unknown": {"X-Contox-Project": "proj_unknown"},
    "project-empty": {"X-Contox-Project": ""},
    "project-non-ascii": {"X-Contox-Project": "prøj".encode()},
    "project-long": {"X-Contox-Project": "p" * 2000},
}


@pytest.mark.parametrize("changed", NOT_SIGNED.values(), ids=NOT_SIGNED)
async def test_not_signed(running: Running, producer: Producer, changed: Headers) -> None:
    """Whatever is wrong with the credentials: the same 401, and nothing is enqueued."""
    await assert_unauthorized(running, producer.request(changed=changed, timestamp=NOW))


@pytest.mark.parametrize("name", ["X-Contox-Project", "X-Contox-Timestamp", "X-Contox-Signature"])
async def test_repeated_header(running: Running, producer: Producer, name: str) -> None:
    """An authentication header that comes twice, even with one value, is refused."""
    request = producer.request(timestamp=NOW)
    line = next(line for line in request.split(b"\r\n") if line.startswith(name.encode()))
    await assert_unauthorized(running, request.replace(line, line + b"\r\n" + line))


@pytest.mark.parametrize("change", ["prefix", "upper", "short", "long", "base64"])
async def test_misspelt_signature(running: Running, producer: Producer, change: str) -> None:
    """A right MAC that is not written as documented is refused."""
    request = producer.request(timestamp=NOW)
    start = request.index(b"sha256=")
    right = request[start : start + 71]
    wrong = {
        "prefix": right[7:],
        "upper": right[:7] + right[7:].upper(),
        "short": right[:-1],
        "long": right + b"0",
        "base64": b"sha256=" + bytes.fromhex(right[7:].decode()).hex().encode()[:44],
    }[change]
    assert wrong != right
    await assert_unauthorized(running, request.replace(right, wrong))


async def test_signed_for_another_project(running: Running, producer: Producer) -> None:
    """A signature by another project's secret is refused, and so is a stolen project id."""
    other = Producer(producer.port, "proj_1", "whsec_other")
    await assert_unauthorized(running, other.request(timestamp=NOW))


async def test_timestamp_is_signed(running: Running, producer: Producer) -> None:
    """A timestamp changed after signing, though within the window, is refused."""
    request = producer.request(timestamp=NOW)
    await assert_unauthorized(running, request.replace(str(NOW).encode(), str(NOW - 1).encode()))


async def test_body_is_signed(running: Running, producer: Producer) -> None:
    """One byte of the body changed after signing is refused."""
    request = producer.request(timestamp=NOW)
    await assert_unauthorized(running, request.replace(b'"n":1', b'"n":2'))


@pytest.mark.parametrize(("offset_s", "status"), [(-301, 401), (-300, 202), (300, 202), (301, 401)])
async def test_window(producer: Producer, offset_s: int, status: int) -> None:
    """A timestamp is taken up to exactly the window's edges."""
    assert (await producer.post(timestamp=NOW + offset_s)).status == status


async def assert_unauthorized(running: Running, request: bytes) -> None:
    """The one 401 of the contract, to the byte, and an empty queue."""
    reply = await exchange(running.gateway.port, request)
    assert reply.status == 401
    assert reply.json == {
        "error": "Invalid or missing authentication credentials",
        "code": "unauthorized",
    }
    assert await running.entries() == []


async def test_nothing_unsigned_is_decoded(running: Running, producer: Producer) -> None:
    """Authentication comes before decoding: a bomb with a bad signature is a 401."""
    wrong = {"X-Contox-Signature": "sha256=" + "0" * 64, "Content-Encoding": "gzip"}
    await assert_unauthorized(
        running, producer.request(bomb(300_000), changed=wrong, timestamp=NOW)
    )


async def test_disabled_project(start: Start) -> None:
    """A disabled project's rightly signed request is 403; a wrong signature stays 401."""
    running = await start()
    engine = running.projects._engine
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE projects SET status = 'disabled'")
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    wrong = await running.producer.post(changed={"X-Contox-Signature": "sha256=x"})
    assert wrong.status == 401
    assert await running.entries() == []


async def test_quota(start: Start) -> None:
    """Over its quota a project gets 429 with Retry-After, until its debt is paid."""
    running = await start(CONTOX_QUOTA_EVENTS_S="4")
    assert (await running.producer.post(batch_of(9))).status == 202
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (429, "rate_limited")
    assert reply.headers["retry-after"] == "2"
    assert len(await running.entries()) == 1


async def test_quota_of_bytes(start: Start) -> None:
    """Over its quota of bytes a project gets 429, while another's events are taken."""
    running = await start(CONTOX_QUOTA_BYTES_S="100")
    secret = SealedSecret(running.sealer.seal(SECRET, project_id="proj_2"), None)
    await running.projects.create(Project("proj_2", "other", "active", 1, 1), secret)
    other = Producer(running.gateway.port, "proj_2", SECRET)
    assert (await running.producer.post(batch_of(10))).status == 202
    refused, taken = await asyncio.gather(running.producer.post(), other.post())
    assert (refused.status, refused.json["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "3"
    assert taken.status == 202


async def test_quota_of_two_gateways(start: Start) -> None:
    """What one gateway has let in, another one refuses soon."""
    first = await start(CONTOX_QUOTA_EVENTS_S="4")
    second = await start(CONTOX_QUOTA_EVENTS_S="4")
    for running in (first, second):
        assert (await running.producer.post()).status == 202
    await asyncio.sleep(3 * SYNC_S)
    assert (await first.producer.post(batch_of(50))).status == 202
    async with asyncio.timeout(5):
        while (await second.producer.post()).status != 429:
            await asyncio.sleep(0.1)


async def test_invalid_requests_are_paid_for(start: Start) -> None:
    """A signed request that holds no valid event counts as one event."""
    running = await start(CONTOX_QUOTA_EVENTS_S="1")
    statuses = [(await running.producer.post(b"{}")).status for _ in range(3)]
    assert statuses == [400, 400, 429]  # the first leaves a little, since time passes


async def test_queue_out_of_memory(start: Start, own_queue_server: QueueServer) -> None:
    """What the queue has no memory for is 503 with the time that draining takes."""
    running = await start(
        CONTOX_REDIS_URL=own_queue_server.url, CONTOX_BACKLOG_MEMORY_PERCENT="100"
    )
    assert (await running.producer.post()).status == 202
    running.gateway.backlog.sample = lambda: asyncio.sleep(0)  # the queue is first to notice
    running.gateway.backlog.retry_after_s = lambda: 17
    client = open_queue(own_queue_server.url)
    await client.config_set("maxmemory", 1)
    assert not running.gateway.backlog.full
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (503, "backlog_full")
    assert reply.headers["retry-after"] == "17"
    await client.aclose()


async def test_backlog_full(start: Start) -> None:
    """At the backlog's bound the answer is 503 with Retry-After; room made is seen."""
    running = await start(CONTOX_BACKLOG_ENTRIES_MAX="1")
    assert (await running.producer.post()).status == 202
    await until(lambda: running.gateway.backlog.full)
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (503, "backlog_full")
    assert reply.headers["retry-after"] == "30"
    ready = await exchange(running.gateway.port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    why = "The backlog is full: partition 0 holds 1 entries (CONTOX_BACKLOG_ENTRIES_MAX)"
    assert (ready.status, ready.json["missing"]) == (503, [why])
    await running.queue.delete(stream_key(0))
    await until(lambda: not running.gateway.backlog.full)
    assert (await running.producer.post()).status == 202


async def test_same_request_same_id(running: Running, producer: Producer) -> None:
    """The same signed request sent again names the same event."""
    request = producer.request(timestamp=NOW)
    first, second = await exchange(producer.port, request), await exchange(producer.port, request)
    assert first.json["eventId"] == second.json["eventId"]
    assert first.json["eventId"].startswith("evt_")


async def test_id_does_not_hang_on_header_text(running: Running, producer: Producer) -> None:
    """Adding a second, wrong signature to a replay does not make it another event."""
    request = producer.request(timestamp=NOW)
    first = await exchange(producer.port, request)
    padded = request.replace(b"sha256=", b"sha256=" + b"0" * 64 + b", sha256=")
    second = await exchange(producer.port, padded)
    assert (second.status, second.json["eventId"]) == (202, first.json["eventId"])


async def test_ids_are_unique_over_time(producer: Producer) -> None:
    """The same body signed a second later is another event."""
    first = await producer.post(timestamp=NOW)
    second = await producer.post(timestamp=NOW + 1)
    assert first.json["eventId"] < second.json["eventId"]
