"""Requests taken apart again, and verified as the gateway does it."""

import re
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import orjson
import pytest

from core.auth import keyed, verify
from core.body import Batch, Limits, parse
from core.compression import Encoding
from loadtest import requests as module
from loadtest.events import event_id, payload
from loadtest.plan import Plan, Profile
from loadtest.requests import RING, Request, Requests
from tests.loadtest.conftest import RUN, SECRET, plan_for


def headers_of(raw: bytes) -> dict[str, str]:
    """The headers, names in lower case; fails if one comes twice."""
    first, *lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert first == "POST /api/v2/ingest HTTP/1.1"
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs)
    return headers


def read(request: Request) -> Batch:
    """The events of a request, as the gateway reads them; fails if it would refuse it."""
    headers, body = headers_of(request.raw), request.raw.partition(b"\r\n\r\n")[2]
    assert headers["content-length"] == str(len(body))
    timestamp = headers["x-contox-timestamp"].encode()
    signature = headers["x-contox-signature"].encode()
    verify([keyed(SECRET)], timestamp=timestamp, body=body, signature=signature)
    assert abs(int(timestamp) - time.time()) < 30
    return parse(
        body,
        content_type=headers["content-type"].encode(),
        encoding=Encoding(headers.get("content-encoding", "identity")),
        limits=Limits(),
    )


def contents(batch: Batch) -> list[tuple[str | None, str]]:
    """(id, payload) of each event."""
    return [(e.id, bytes(e.payload).decode()) for e in batch.events if e]


def expected(first: int, count: int, process: int, size: int) -> list[tuple[str, str]]:
    """(id, payload) of the events with these numbers."""
    ids = [event_id(RUN, process, n) for n in range(first, first + count)]
    return [(i, payload(i, n, size)) for n, i in enumerate(ids, first)]


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize(("profile", "count"), [("single", 1), ("batch", 7), ("hostile", 1)])
def test_request(profile: Profile, count: int, gzip: bool) -> None:
    """A request is signed, its length is right, and it holds the events that its numbers name."""
    plan = plan_for(profile=profile, batch_size=7, payload_bytes=90, gzip=gzip, verify=True)
    requests = Requests(plan, 3)
    for first in (0, count):
        request = requests.next()
        assert (request.first, request.count, request.expect) == (first, count, "")
        assert contents(read(request)) == expected(first, count, 3, 90)
        assert ("content-encoding" in headers_of(request.raw)) is gzip
    assert requests.made == 2 * count


def test_headers() -> None:
    """Host is the target's, and the project's id is the plan's."""
    headers = headers_of(Requests(plan_for(8080), 0).next().raw)
    assert (headers["host"], headers["x-contox-project"]) == ("127.0.0.1:8080", "proj_1")
    assert re.fullmatch("sha256=[0-9a-f]{64}", headers["x-contox-signature"])


def test_batch_of_one_is_a_batch() -> None:
    """In the profile `batch` one event is still an array."""
    request = Requests(plan_for(profile="batch", batch_size=1, verify=True), 0).next()
    body: Any = orjson.loads(request.raw.partition(b"\r\n\r\n")[2])
    assert [event["id"] for event in body] == [event_id(RUN, 0, 0)]


def test_mixed() -> None:
    """A tenth of the mixed requests are batches; no event is in two of them."""
    requests = Requests(plan_for(profile="mixed", batch_size=4, verify=True), 0)
    made = [requests.next() for _ in range(3_000)]
    sizes = Counter(request.count for request in made)
    assert sizes.keys() == {1, 4}
    assert sizes[4] / 3_000 == pytest.approx(0.1, abs=0.03)
    for request, following in pairwise(made):
        assert following.first == request.first + request.count
    assert len(read(next(r for r in made if r.count == 4)).events) == 4


def sizes_of(plan: Plan, process: int) -> list[int]:
    """How many events each of 200 requests has."""
    requests = Requests(plan, process)
    return [requests.make().count for _ in range(200)]


def test_seed() -> None:
    """A seed mixes alike again; another seed or process mixes otherwise."""
    plan = plan_for(profile="mixed", seed=5, verify=True)
    assert sizes_of(plan, 0) == sizes_of(plan, 0)
    assert sizes_of(plan, 0) != sizes_of(plan, 1)
    assert sizes_of(plan, 0) != sizes_of(plan_for(profile="mixed", seed=6, verify=True), 0)


def test_ring() -> None:
    """Without verification the requests signed ahead come round again, all of them valid."""
    requests = Requests(plan_for(), 0)
    first = [requests.next().raw for _ in range(RING)]
    assert [requests.next().raw for _ in range(RING)] == first
    assert len(set(first)) == RING == requests.made
    assert read(Request(first[-1], 0, 1)).count == 1


def test_ring_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring whose signatures grow old is signed anew."""
    requests = Requests(plan_for(), 0)
    requests.next()
    now_s = time.monotonic()
    for later_s, made in ((module.RING_AGE_S - 1, RING), (module.RING_AGE_S + 1, 2 * RING)):
        with monkeypatch.context() as patched:
            patched.setattr(time, "monotonic", lambda later_s=later_s: now_s + later_s)
            requests.next()
        assert requests.made == made
    assert module.RING_AGE_S < 300


def test_verified_events_come_once() -> None:
    """With verification no event is sent twice."""
    requests = Requests(plan_for(verify=True), 0)
    firsts = [requests.next().first for _ in range(3 * RING)]
    assert firsts == list(range(3 * RING))


def test_sign() -> None:
    """Any body can be signed, at any time, with the encoding named."""
    raw = Requests(plan_for(), 0).sign(b"[]", timestamp_s=5, encoding=b"zstd")
    headers = headers_of(raw)
    assert headers["x-contox-timestamp"] == "5"
    assert headers["content-encoding"] == "zstd"
    signature = headers["x-contox-signature"].encode()
    verify([keyed(SECRET)], timestamp=b"5", body=b"[]", signature=signature)
