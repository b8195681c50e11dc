"""What a signed body is worth: each body of the contract's table, its answer, what is enqueued."""

import gzip

import pytest
from backports import zstd

from core.codec import explode
from core.compression import Encoding
from tests.gateway.conftest import NOW, Running, Start, batch_of
from tests.raw_http import EVENT, Headers, Producer, bomb

BATCH = b'[{"event":"a","payload":{}},{"event":"b","payload":{"x":1.0}}]'
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}
ZSTD = {"Content-Encoding": "zstd"}


def event_of(size: int) -> bytes:
    """A valid event of exactly `size` bytes."""
    frame = b'{"event":"saved","payload":{"x":""}}'
    return frame.replace(b'""', b'"%s"' % (b"a" * (size - len(frame))))


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


REFUSED = {
    "empty": (b"", {}, 400, "invalid_json"),
    "not-json": (b"hello", {}, 400, "invalid_json"),
    "two-documents": (EVENT + EVENT, {}, 400, "invalid_json"),
    "not-utf8": (b'{"event":"a","payload":{"x":"\xff"}}', {}, 400, "invalid_json"),
    "half-a-pair": (b'{"event":"\\ud800","payload":{}}', {}, 400, "invalid_event"),
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
