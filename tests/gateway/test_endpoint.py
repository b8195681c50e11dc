"""POST /api/v2/ingest over a real socket and a real queue: each answer, and what was enqueued."""

import asyncio
import gzip
import json
import time

import pytest
from backports import zstd

from core.codec import explode
from core.compression import Encoding
from tests.gateway.conftest import Running, Start, until
from tests.raw_http import EVENT, PATH, Headers, Producer, bomb, chunked, exchange, read_reply

NOW = 1_800_000_000
BATCH = b'[{"event":"a","payload":{}},{"event":"b","payload":{"x":1.0}}]'
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}
ZSTD = {"Content-Encoding": "zstd"}


def event_of(size: int) -> bytes:
    """A valid event of exactly `size` bytes."""
    frame = b'{"event":"saved","payload":{"x":""}}'
    return frame.replace(b'""', b'"%s"' % (b"a" * (size - len(frame))))


def batch_of(count: int) -> bytes:
    """A valid batch of `count` events."""
    return b"[" + b",".join([EVENT] * count) + b"]"


@pytest.fixture
def producer(running: Running) -> Producer:
    """The project's producer, at a fixed time of the gateway's clock."""
    running.gateway.admission._clock = lambda: NOW + 0.9
    return running.producer


TAKEN = {
    "single": (EVENT, {}, 1),
    "array": (BATCH, {}, 2),
    "array-of-one": (b"[" + EVENT + b"]", {}, 1),
    "ndjson": (EVENT + b"\n\n" + EVENT + b"\n", NDJSON, 2),
    "gzip": (gzip.compress(BATCH), GZIP, 2),
    "zstd": (zstd.compress(BATCH), ZSTD, 2),
    "gzip-ndjson": (gzip.compress(EVENT + b"\n" + EVENT), {**NDJSON, **GZIP}, 2),
    "identity": (EVENT, {"Content-Encoding": "identity"}, 1),
    "charset": (EVENT, {"Content-Type": "Application/JSON; charset=UTF-8"}, 1),
    "nul-escape": (b'{"event":"a","payload":{"x":"\\u0000"}}', {}, 1),
    "body-at-limit": (batch_of(5) + b" " * (2000 - len(batch_of(5))), {}, 5),
    "event-at-limit": (event_of(1000), {}, 1),
    "events-at-limit": (batch_of(5), {}, 5),
    "unknown-members": (b'{"event":"a","payload":{},"more":[1]}', {}, 1),
}


@pytest.mark.parametrize(("body", "changed", "count"), TAKEN.values(), ids=TAKEN)
async def test_taken(
    running: Running, producer: Producer, body: bytes, changed: Headers, count: int
) -> None:
    """A valid request is answered 202 and is one entry that explodes into the ids answered."""
    reply = await producer.post(body, changed=changed, timestamp=NOW)
    assert reply.status == 202
    assert reply.headers["x-contox-durability"] == "fsynced"
    assert reply.headers["x-request-id"]
    entry, *others = await running.entries()
    assert others == []
    assert entry.body == body
    ids = reply.json.get("eventIds") or [reply.json["eventId"]]
    assert [row.event_id for row in explode(entry)] == ids
    assert len(ids) == count
    assert reply.json["sessionId"] == entry.session
    assert reply.json["status"] == "accepted"


async def test_single_answer_has_the_documented_members(producer: Producer) -> None:
    """One event is answered with exactly eventId, sessionId and status."""
    reply = await producer.post(timestamp=NOW)
    assert sorted(reply.json) == ["eventId", "sessionId", "status"]


async def test_partly_taken(running: Running, producer: Producer) -> None:
    """The valid events of a batch are queued under the ids answered, the others are listed."""
    body = b'[{"event":"a","payload":{}},7,{"event":"b b","payload":{}},{"event":"d","payload":{}}]'
    reply = await producer.post(body, timestamp=NOW)
    assert reply.status == 202
    assert reply.json["accepted"] == 2
    listed = [(refusal["index"], refusal["code"]) for refusal in reply.json["rejected"]]
    assert listed == [(1, "invalid_event"), (2, "invalid_event")]
    assert all(refusal["error"] for refusal in reply.json["rejected"])
    (entry,) = await running.entries()
    rows = explode(entry)
    assert [row.event for row in rows] == ["a", "d"]
    assert [row.event_id for row in rows] == reply.json["eventIds"]
    assert entry.encoding is Encoding.IDENTITY


async def test_broken_line_leaves_the_others(running: Running, producer: Producer) -> None:
    """In NDJSON a line that is not JSON is listed; in an array it refuses the whole body."""
    reply = await producer.post(EVENT + b"\n{nope\n" + EVENT, changed=NDJSON, timestamp=NOW)
    assert reply.status == 202
    assert [(r["index"], r["code"]) for r in reply.json["rejected"]] == [(1, "invalid_json")]
    assert (await running.entries())[0].count == 2


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
    "timestamp-not-the-signed": {"X-Contox-Timestamp": str(NOW - 1)},
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


REFUSED = {
    "empty": (b"", {}, 400, "invalid_json"),
    "not-json": (b"hello", {}, 400, "invalid_json"),
    "two-documents": (EVENT + EVENT, {}, 400, "invalid_json"),
    "not-utf8": (b'{"event":"a","payload":{"x":"\xff"}}', {}, 400, "invalid_json"),
    "lone-surrogate": (b'{"event":"a","payload":{"x":"\\ud800"}}', {}, 400, "invalid_json"),
    "nan": (b'{"event":"a","payload":{"x":NaN}}', {}, 400, "invalid_json"),
    "bom": (b"\xef\xbb\xbf" + EVENT, {}, 400, "invalid_json"),
    "too-deep": (
        b'{"event":"a","payload":{"x":' + b"[" * 127 + b"]" * 127 + b"}}",
        {},
        400,
        "invalid_json",
    ),
    "truncated-gzip": (gzip.compress(EVENT)[:-4], GZIP, 400, "invalid_json"),
    "not-gzip": (EVENT, GZIP, 400, "invalid_json"),
    "truncated-zstd": (zstd.compress(EVENT)[:-4], ZSTD, 400, "invalid_json"),
    "scalar": (b"5", {}, 400, "invalid_event"),
    "no-event": (b'{"payload":{}}', {}, 400, "invalid_event"),
    "no-payload": (b'{"event":"a"}', {}, 400, "invalid_event"),
    "payload-array": (b'{"event":"a","payload":[]}', {}, 400, "invalid_event"),
    "event-type": (b'{"event":"a b","payload":{}}', {}, 400, "invalid_event"),
    "bad-id": (b'{"id":"","event":"a","payload":{}}', {}, 400, "invalid_event"),
    "bad-timestamp": (b'{"timestamp":"x","event":"a","payload":{}}', {}, 400, "invalid_event"),
    "none-valid": (b"[1,2]", {}, 400, "invalid_event"),
    "no-element": (b"[]", {}, 400, "empty_batch"),
    "no-line": (b"\n \n", NDJSON, 400, "empty_batch"),
    "body-over": (b" " * 2001, {}, 413, "too_large"),
    "event-over": (event_of(1001), {}, 413, "too_large"),
    "decoded-over": (gzip.compress(b" " * 4001), GZIP, 413, "too_large"),
    "events-over": (batch_of(6), {}, 413, "too_large"),
    "lines-over": (b"\n".join([EVENT] * 6), NDJSON, 413, "too_large"),
    "gzip-bomb": (bomb(300_000), GZIP, 413, "too_large"),
    "zstd-bomb": (zstd.compress(b"a" * 50_000_000), ZSTD, 413, "too_large"),
    "form-type": (
        EVENT,
        {"Content-Type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    "no-type": (EVENT, {"Content-Type": None}, 415, "unsupported_media_type"),
    "charset": (
        EVENT,
        {"Content-Type": "application/json; charset=utf-16"},
        415,
        "unsupported_media_type",
    ),
    "brotli": (EVENT, {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
    "gzip-twice": (EVENT, {"Content-Encoding": "gzip, gzip"}, 415, "unsupported_media_type"),
}


@pytest.mark.parametrize(("body", "changed", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_refused(
    running: Running, producer: Producer, body: bytes, changed: Headers, status: int, code: str
) -> None:
    """A rightly signed request with a wrong body gets its status and code; nothing is enqueued."""
    reply = await producer.post(body, changed=changed, timestamp=NOW)
    assert (reply.status, reply.json["code"]) == (status, code)
    assert sorted(reply.json) == ["code", "error"]
    assert "retry-after" not in reply.headers
    assert await running.entries() == []


async def test_deep_brackets(start: Start) -> None:
    """A hundred thousand brackets are an answer, not a crash."""
    running = await start()
    reply = await running.producer.post(b"[" * 100_000)
    assert (reply.status, reply.json["code"]) == (400, "invalid_json")


async def test_nothing_unsigned_is_decoded(running: Running, producer: Producer) -> None:
    """Authentication comes before decoding: a bomb with a bad signature is a 401."""
    wrong = {"X-Contox-Signature": "sha256=" + "0" * 64, **GZIP}
    await assert_unauthorized(
        running, producer.request(bomb(300_000), changed=wrong, timestamp=NOW)
    )


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


async def test_backlog_full(start: Start) -> None:
    """At the backlog's bound the answer is 503 with Retry-After; room made is seen."""
    running = await start(CONTOX_BACKLOG_ENTRIES_MAX="1")
    assert (await running.producer.post()).status == 202
    await until(lambda: running.gateway.backlog.full)
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (503, "backlog_full")
    assert int(reply.headers["retry-after"]) > 0
    ready = await exchange(running.gateway.port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (ready.status, ready.json["missing"]) == (503, ["The backlog is full"])
    await running.queue.flushall()
    await until(lambda: not running.gateway.backlog.full)
    assert (await running.producer.post()).status == 202


async def test_shutting_down(running: Running, producer: Producer) -> None:
    """Once it stops, a gateway refuses with 503, Retry-After and nothing enqueued."""
    running.gateway.admission.stopping = True
    reply = await producer.post(timestamp=NOW)
    assert (reply.status, reply.json["code"]) == (503, "shutting_down")
    assert reply.headers["retry-after"]
    assert await running.entries() == []


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


async def test_ids_are_unique_over_time(producer: Producer) -> None:
    """The same body signed a second later is another event."""
    first = await producer.post(timestamp=NOW)
    second = await producer.post(timestamp=NOW + 1)
    assert first.json["eventId"] < second.json["eventId"]


def test_fixture_clock_is_not_now() -> None:
    """The fixed time lies outside the real window, so a test that forgets it would fail."""
    assert abs(time.time() - NOW) > 300
    assert json.loads(EVENT)
