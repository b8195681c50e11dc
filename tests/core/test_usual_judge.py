"""Usual requests are judged alike, in Python and compiled, and as they must be."""

from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.auth import keyed
from core.body import DEPTH_MAX, Form
from core.codec import Entry, encode_header
from core.compression import Encoding
from core.head import FIELD_OF
from core.ids import event_id
from core.usual_python import ONES_MAX, Stamp
from tests.core.usual_rig import (
    EVENT,
    LIMITS,
    NOW_MS,
    NOW_S,
    PROJECTS,
    SECRET,
    SESSION,
    TWINS,
    WITH_ID,
    head,
    rig,
    stamp_of,
    standing,
    twins,
)


@twins
@pytest.mark.parametrize("body", [EVENT, WITH_ID], ids=["without id", "with its own"])
def test_taken(twin: ModuleType, body: bytes) -> None:
    """A usual request is in the bundle: on the wire, for its answer, in the counts."""
    found = rig(twin, [standing(twin, "proj_1")])
    assert found.take([("asker", head(body), body), ("other", head(body), body)]) == []
    key = keyed(SECRET)
    mac = key.mac(b"%d" % NOW_S, body)
    entry = Entry("proj_1", SESSION, NOW_MS, Form.SINGLE, Encoding.IDENTITY, 1, NOW_S, mac, body)
    header = encode_header(entry)
    wire = b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(header), header, len(body), body)
    (bundle,) = found.bundled
    assert bytes(bundle.wire) == wire * 2
    assert bundle.body_bytes == 2 * len(body)
    assert {one.name: events for one, events in bundle.events.items()} == {"proj_1|a": 2}
    identity = "my-1" if body is WITH_ID else event_id("proj_1", timestamp_s=NOW_S, mac=mac)
    answer = f"<{identity}|{SESSION}>".encode()
    assert bundle.ones == [("asker", identity, answer), ("other", identity, answer)]


def bodies() -> Iterator[bytes]:
    """What may be sent, usual or not."""
    yield from (EVENT, WITH_ID, b"", b"{", b"{}", b"[" + EVENT + b"]", b" " + EVENT, EVENT + b" ")
    yield b'{"event":"a","payload":{"x":"\xff"}}'
    yield b'{"event":"a","payload":{"x":"\\ud800"}}'
    yield b'{"event":"\\ud83d\\ude00","payload":{}}'
    yield b'{"event":"a b","payload":{}}'
    yield b'{"event":"a","payload":[]}'
    yield b'{"event":"a","payload":{},"id":""}'
    yield b'{"event":"a","payload":{},"id":"%s"}' % (b"i" * 65)
    yield b'{"event":"a","payload":{},"timestamp":"2026-01-01T00:00:00Z"}'
    yield b'{"event":"a","payload":{},"timestamp":"yesterday"}'
    yield b'{"event":"a","payload":{},"timestamp":1e999}'
    for depth in (DEPTH_MAX - 2, DEPTH_MAX - 1, DEPTH_MAX, 2_000):
        yield b'{"event":"a","payload":{"x":%b1%b}}' % (b"[" * depth, b"]" * depth)
    yield b'{"event":"a","payload":{"x":"%b"}}' % (b"[" * 500)
    for size in (3_999, 4_000, 4_001, 5_000):  # the bound is 4,000
        yield b'{"event":"a","payload":{"x":"'.ljust(size - 3, b"x") + b'"}}'


BODIES = list(bodies())
VALUES = st.none() | st.sampled_from(
    [
        b"proj_2",
        b"proj_9",
        b"%d" % (NOW_S - 301),
        b"%d" % (NOW_S - 299),
        b"now",
        b"",
        b"gzip",
        b"application/json; charset=utf-8",
        b"application/x-ndjson",
        b"sha256=" + b"0" * 64,
        b"sha256=" + b"0" * 63,
    ]
)
CHANGES = st.just({}) | st.dictionaries(
    st.sampled_from(list(FIELD_OF.values())), VALUES, max_size=1
)
REQUESTS = st.lists(st.tuples(CHANGES, st.sampled_from(BODIES)), max_size=80)


@given(REQUESTS, st.sampled_from([frozenset[str](), frozenset({"a"})]))
def test_both_judge_alike(
    asked: list[tuple[dict[str, bytes | None], bytes]], types: frozenset[str]
) -> None:
    """Whatever is sent, both take the same, make the same of it, and leave the same."""
    limits = LIMITS._replace(event_types=types)
    results = []
    for twin in TWINS:
        found = rig(
            twin,
            [
                standing(twin, "proj_1"),
                standing(twin, "proj_2", partition=1, expires_s=5.0),
            ],
            limits=limits,
        )
        requests = [(at, head(body, **to), body) for at, (to, body) in enumerate(asked)]
        results.append(found.result(found.take(requests)))
        assert found.failed == []
    assert all(result == results[0] for result in results)


@twins
@pytest.mark.parametrize("ends", [{"expires_s": 5.0}, {"ends_ms": NOW_MS}])
def test_over(twin: ModuleType, ends: dict[str, Any]) -> None:
    """A standing counts until the moment that either time has come."""
    asked = [("asker", head(EVENT), EVENT)]
    assert rig(twin, [standing(twin, "proj_1", **ends)]).take(asked) == asked
    later = {"expires_s": 5.1} if "expires_s" in ends else {"ends_ms": NOW_MS + 1}
    assert rig(twin, [standing(twin, "proj_1", **later)]).take(asked) == []


@twins
def test_many(twin: ModuleType) -> None:
    """Any number is judged at once, in order; a bundle that is full is given back for the next."""
    known = [standing(twin, project, partition=at % 2) for at, project in enumerate(PROJECTS)]
    found = rig(twin, known)
    requests = [
        (
            at,
            head(EVENT, project=PROJECTS[at % 150].encode(), secret=SECRET if at % 7 else "x"),
            EVENT,
        )
        for at in range(1_300)
    ]
    assert found.take(requests) == requests[::7]
    assert [len(full.ones) for full in found.kept] == [ONES_MAX] * len(found.kept)
    begun = {id(bundle) for bundle in found.bundled}
    assert {id(bundle) for bundle in [*found.kept, *found.moment.bundles.values()]} == begun
    taken = [one[0] for bundle in found.bundled for one in bundle.ones]
    assert sorted(taken) == [at for at in range(1_300) if at % 7]
    for partition in (0, 1):
        of = [b for b in found.bundled if b.partition == partition]
        askers = [one[0] for bundle in of for one in bundle.ones]
        assert all(one < next_one for one, next_one in pairwise(askers))


@twins
def test_timestamps_are_asked_of_once(twin: ModuleType) -> None:
    """One that is known already is not looked at again."""
    asked: list[bytes] = []
    known: dict[bytes, Stamp] = {}

    def stamp(timestamp: bytes) -> Stamp | None:
        asked.append(timestamp)
        known[timestamp] = b"%d|" % NOW_S, NOW_S
        return known[timestamp]

    found = rig(twin, [standing(twin, "proj_1")], stamp=stamp, stamps=known)
    assert found.take([(at, head(EVENT), EVENT) for at in range(3)]) == []
    assert asked == [b"%d" % NOW_S]


@twins
def test_bug(twin: ModuleType) -> None:
    """A request that cannot be judged is told of, goes to admission, and is not the others'
    fault."""

    def stamp(timestamp: bytes) -> Stamp | None:
        if timestamp == b"1":
            raise ZeroDivisionError("a bug")
        return stamp_of(timestamp)

    found = rig(twin, [standing(twin, "proj_1")], stamp=stamp)
    asked = [
        (at, head(EVENT, **({"timestamp": b"1"} if at == 1 else {})), EVENT) for at in range(3)
    ]
    assert found.take(asked) == [asked[1]]
    assert [type(error) for error in found.failed] == [ZeroDivisionError]
    assert [one[0] for one in found.bundled[0].ones] == [0, 2]


class NoNumber:
    """Something that cannot be counted on."""

    def __add__(self, _other: object) -> int:
        raise MemoryError


@twins
def test_all_or_nothing(twin: ModuleType) -> None:
    """Of a request whose counting fails nothing stays in the bundle: admission takes it."""
    known = [standing(twin, "proj_1"), standing(twin, "proj_2")]
    found = rig(twin, known)
    first, broken = (
        (name, head(EVENT, project=name.encode()), EVENT) for name in ("proj_1", "proj_2")
    )
    assert found.take([first]) == []
    (bundle,) = found.bundled
    before = bytes(bundle.wire), list(bundle.ones), bundle.body_bytes
    bundle.events[known[1]] = NoNumber()
    assert found.take([broken]) == [broken]
    assert [type(error) for error in found.failed] == [MemoryError]
    assert (bytes(bundle.wire), bundle.ones, bundle.body_bytes) == before
    assert found.take([first]) == []
    assert (len(bundle.ones), bundle.events[known[0]]) == (2, 2)


@pytest.mark.parametrize("request_", [1, (), ("asker", None, EVENT), ("asker", EVENT, EVENT)])
def test_what_is_no_request(request_: object) -> None:
    """Something else in the place of a request is an error for all."""
    for native in TWINS[1:]:
        with pytest.raises((TypeError, IndexError)):
            rig(native, []).take([request_])


def test_what_is_no_body_or_bundle() -> None:
    """Something else in the place of a body, or of a bundle, is a bug that is told of."""
    for native in TWINS[1:]:
        found = rig(native, [standing(native, "proj_1")])
        asked = [("asker", head(EVENT), bytearray(EVENT)), ("asker", head(EVENT), None)]
        assert found.take(asked) == asked
        found.moment.bundles[0] = object()
        asked = [("asker", head(EVENT), EVENT)]
        assert found.take(asked) == asked
        assert [type(error) for error in found.failed] == [TypeError] * 3
        found = rig(native, [standing(native, "proj_1")], bundle=lambda *_: None)
        assert found.take(asked) == asked
        assert [type(error) for error in found.failed] == [TypeError]
