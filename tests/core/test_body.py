"""Tables of bytes: each way to be wrong, alone and beside valid events, and each limit's edge."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from core.body import Batch, Form, Limits, parse, read_events
from core.compression import Encoding, zstd
from core.errors import Reason, Rejected

JSON, NDJSON = b"application/json", b"application/x-ndjson"
COMPRESS = {Encoding.IDENTITY: bytes, Encoding.GZIP: gzip.compress, Encoding.ZSTD: zstd.compress}


def event(payload: bytes = b"{}", more: bytes = b"") -> bytes:
    """An event's text, with more members after its payload."""
    return b'{"event":"a","payload":' + payload + more + b"}"


def take(wire: bytes, media: bytes = JSON, encoding: str = "identity", **limits: Any) -> Batch:
    """What is taken of a body."""
    return parse(wire, content_type=media, encoding=Encoding(encoding), limits=Limits(**limits))


def refusal(*sent: Any, **limits: Any) -> Reason:
    """Why nothing is taken of a body."""
    with pytest.raises(Rejected) as caught:
        take(*sent, **limits)
    return caught.value.reason


GOOD = event()
ONE, ARRAY, LINES = (GOOD, JSON), (b"[%b,%b]" % (GOOD, GOOD), JSON), (GOOD + b"\n" + GOOD, NDJSON)
FORMS = pytest.mark.parametrize(
    ("wire", "media"), [ONE, ARRAY, LINES], ids=["single", "array", "ndjson"]
)


WHITE_ARRAY, WHITE_LINES = b" \n[%b , %b]\n" % (GOOD, GOOD), b"\n\r\n \t\n" + (GOOD + b"\r\n") * 2
VALID = {
    "one": (GOOD, JSON, Form.SINGLE),
    "one in white space": (b" \r\n\t" + GOOD + b"\n", JSON, Form.SINGLE),
    "array of one": (b"[" + GOOD + b"]", JSON, Form.ARRAY),
    "array in white space": (WHITE_ARRAY, JSON, Form.ARRAY),
    "one line": (GOOD, NDJSON, Form.NDJSON),
    "lines in white space": (WHITE_LINES, NDJSON, Form.NDJSON),
}


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize(("wire", "media", "form"), VALID.values(), ids=VALID.keys())
def test_valid_body_is_kept(wire: bytes, media: bytes, form: Form, encoding: Encoding) -> None:
    """A body of valid events is taken whole, and what is stored are the wire's own bytes."""
    encoded = COMPRESS[encoding](wire)
    batch = take(encoded, media, encoding)
    assert (batch.form, batch.encoding, batch.body) == (form, encoding, encoded)
    assert batch.count == len(batch.events) == wire.count(GOOD)
    assert batch.refused == []


@pytest.mark.parametrize("more", [b"", b" ; Charset=UTF-8", b';charset="utf-8";x=y'])
def test_content_type_names_the_form(more: bytes) -> None:
    """The two media types are known in any case, with parameters, a charset of UTF-8 among them."""
    assert take(GOOD, b"Application/JSON" + more).form is Form.SINGLE
    assert take(GOOD, b"application/x-ndjson" + more).form is Form.NDJSON


OTHER_TYPES = [None, b"", b";", b"text/json", b"application/jsonx", JSON + b", " + JSON, b"\xff"]
OTHER_CHARSETS = [JSON + b"; charset=latin-1", JSON + b"; charset=utf-8; charset=utf-16"]


@pytest.mark.parametrize("media", [*OTHER_TYPES, *OTHER_CHARSETS])
def test_other_content_type_is_unsupported(media: bytes) -> None:
    """Another media type, none, two, or another charset than UTF-8 is unsupported."""
    assert refusal(GOOD, media) is Reason.UNSUPPORTED_MEDIA_TYPE


NOT_NUMBERS = [b"NaN", b"-Infinity", b"01", b"1.", b"+1", b"1,"]
NOT_STRINGS = [b"\x01", b"\\x41", b"\\ud80", b"\\ud8g0", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"]
NOT_VALUES = [*NOT_NUMBERS, *(b'"%b"' % text for text in NOT_STRINGS)]
NOT_ONE = [b"hi", b"\xef\xbb\xbf" + GOOD, GOOD + GOOD, GOOD + b"\x00", GOOD[:-1], b'{"event":"a']
IN_PAYLOAD, UNKNOWN = b'{"event":"a","payload":{"a":%b}}', b'{"event":"a","payload":{},"x":%b}'
IN_KEY = b'{"event":"a","payload":{%b:1}}'


@pytest.mark.parametrize(
    "bad", [*NOT_ONE, *(place % v for place in (IN_PAYLOAD, UNKNOWN, IN_KEY) for v in NOT_VALUES)]
)
def test_what_is_not_json_is_refused(bad: bytes) -> None:
    """What is not one JSON document in UTF-8 is refused: with its array, but not with its lines."""
    assert refusal(bad) is refusal(bad, NDJSON) is Reason.INVALID_JSON
    assert refusal(b"[%b,%b]" % (GOOD, bad)) is Reason.INVALID_JSON
    batch = take(b"%b\n%b\n%b" % (GOOD, bad, GOOD), NDJSON)
    assert [(r.index, r.reason) for r in batch.refused] == [(1, Reason.INVALID_JSON)]


SHAPES = [b"null", b"1", b'"event"', b'{"payload":{}}', b'{"event":"a"}', event(b"[]")]
VALUES = [b',"event":"a\\n"', b',"id":1', b',"id":"a\\n"', b',"timestamp":true', b',"timestamp":-1']
BEYOND = [b',"timestamp":1e400', b',"timestamp":%b' % (b"9" * 5000)]


@pytest.mark.parametrize(
    "bad", [*SHAPES, *(event(more=more) for more in VALUES + BEYOND)], ids=lambda bad: bad[:60]
)
def test_json_that_is_no_event_is_refused(bad: bytes) -> None:
    """JSON of another shape than an event's is refused, and leaves its neighbours alone."""
    assert refusal(bad) is refusal(bad, NDJSON) is refusal(b"[%b]" % bad) is Reason.INVALID_EVENT
    for batch in (take(b"[%b,%b]" % (bad, GOOD)), take(b"%b\n%b\n" % (bad, GOOD), NDJSON)):
        assert [(r.index, r.reason) for r in batch.refused] == [(0, Reason.INVALID_EVENT)]
        assert (batch.form, batch.body) == (Form.ARRAY, b"[null,%b]" % GOOD)


NONE_VALID = {
    "nothing": (b"", JSON, Reason.INVALID_JSON),
    "white space": (b" \n", JSON, Reason.INVALID_JSON),
    "empty array": (b" [ \n] ", JSON, Reason.EMPTY_BATCH),
    "no lines": (b"", NDJSON, Reason.EMPTY_BATCH),
    "blank lines": (b"\n \r\n\t\n", NDJSON, Reason.EMPTY_BATCH),
    "array without its end": (b"[" + GOOD, JSON, Reason.INVALID_JSON),
    "array with an empty end": (b"[%b,]" % GOOD, JSON, Reason.INVALID_JSON),
    "array of an array": (b"[[%b]]" % GOOD, JSON, Reason.INVALID_EVENT),
    "array as a line": (b"[%b]" % GOOD, NDJSON, Reason.INVALID_EVENT),
    "lines as JSON": (GOOD + b"\n" + GOOD, JSON, Reason.INVALID_JSON),
    "wrong in two ways": (b"x\n{}", NDJSON, Reason.INVALID_EVENT),
}


@pytest.mark.parametrize(("wire", "media", "reason"), NONE_VALID.values(), ids=NONE_VALID.keys())
def test_body_without_a_valid_event_is_refused(wire: bytes, media: bytes, reason: Reason) -> None:
    """A body of which no event can be taken is refused, by the reason its events have in common."""
    assert refusal(wire, media) is reason


def test_answer_quotes_the_first_refusal() -> None:
    """When every event is refused, the answer says what is wrong with the first."""
    with pytest.raises(Rejected, match=r"at index 0: `payload` must be an object$"):
        take(b"[%b,1]" % event(b"[]"))


def test_batch_is_taken_in_part() -> None:
    """Refused events leave `null` in the stored body, so that the others keep index and bytes."""
    kept = [event(b'{ "n" : 1.0 }', b',"id":"x"'), b'{"payload":{"a":"\\u0000"},"event":"b"}']
    raws = [b"{}", kept[0], event(b"[]"), b"7", kept[1], b"null"]
    array, lines = b"[" + b" ,\n".join(raws) + b"]", b"\n".join(raws)
    for wire, media in ((array, JSON), (lines, NDJSON)):
        batch = take(gzip.compress(wire), media, Encoding.GZIP)
        assert (batch.form, batch.encoding, batch.count) == (Form.ARRAY, Encoding.IDENTITY, 2)
        assert batch.body == b"[null,%b,null,null,%b,null]" % tuple(kept)
        assert [e and e.event for e in batch.events] == [None, "a", None, None, "b", None]
        assert [r.index for r in batch.refused] == [0, 2, 3, 5]
        assert batch.refused[1].sentence == "`payload` must be an object"
        assert read_events(batch.form, batch.body) == batch.events


def test_large_batch_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array with far too many valid events is refused before each has become an object."""
    monkeypatch.delattr("core.body._decode_events")
    assert refusal(b"[" + (GOOD + b",") * 6_000 + GOOD + b"]") is Reason.TOO_LARGE


@FORMS
def test_types_may_be_restricted(wire: bytes, media: bytes) -> None:
    """With an allow-list events of another type are refused, in every form."""
    assert take(wire, media, event_types=frozenset("ab")).refused == []
    assert refusal(wire, media, event_types=frozenset("b")) is Reason.INVALID_EVENT


def nested(levels: int) -> bytes:
    """Arrays within arrays."""
    return b"[" * levels + b"]" * levels


DEEP = {
    "payload": lambda levels: event(b'{"x":%b}' % nested(levels - 2)),
    "objects": lambda levels: event(b'{"x":' * (levels - 2) + b"{}" + b"}" * (levels - 2)),
    "unknown member": lambda levels: event(more=b',"x":' + nested(levels - 1)),
    "repeated payload": lambda levels: b'{"payload":%b,%b' % (nested(levels - 1), GOOD[1:]),
    "after a backslash": lambda levels: event(b'{"x":"\\\\","y":%b}' % nested(levels - 2)),
}


@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP.keys())
def test_nesting_is_bounded_at_128(deep: Callable[[int], bytes]) -> None:
    """128 levels are taken, an array's own among them; 129 are refused, wherever they are."""
    assert take(deep(128)).count == take(deep(128), NDJSON).count == 1
    assert refusal(deep(129)) is refusal(deep(129), NDJSON) is Reason.INVALID_JSON
    for others in (0, 1, 300):
        assert take(b"[%b]" % b",".join([GOOD] * others + [deep(127)])).count == others + 1
        assert refusal(b"[%b]" % b",".join([GOOD] * others + [deep(128)])) is Reason.INVALID_JSON
    assert [r.index for r in take(GOOD + b"\n" + deep(129), NDJSON).refused] == [1]


BROAD = {
    "in a string": b'{"x":"%b"}' % (b"[" * 50_000),
    "in a key": b'{"%b":1}' % (b"{" * 50_000),
    "after an escaped quote": b'{"x":"\\"%b\\\\"}' % (b"[" * 50_000),
    "side by side": b'{"x":[%b0]}' % (b"[]," * 50_000),
}


@pytest.mark.parametrize("payload", BROAD.values(), ids=BROAD.keys())
def test_brackets_that_do_not_nest_are_free(payload: bytes) -> None:
    """Brackets inside of strings, or closed before the next opens, may be any number."""
    for wire in (event(payload), event(more=b',"x":' + payload)):
        assert take(wire).count == take(b"[%b]" % wire).count == take(wire, NDJSON).count == 1


FLOODS = {
    "open brackets": (b"[" * 100_000, Reason.INVALID_JSON),
    "closed brackets": (event(nested(50_000)), Reason.INVALID_JSON),
    "brackets in an unknown member": (event(more=b',"x":' + b"[" * 100_000), Reason.INVALID_JSON),
    "brackets in an array": (b"[%b]" % event(nested(50_000)), Reason.INVALID_JSON),
    "five thousand in an array": (b"[%b]" % event(nested(5_000)), Reason.INVALID_JSON),
    "objects": (event(b'{"a":' * 40_000), Reason.INVALID_JSON),
    "numbers": (b"[" + b"1," * 4_000_000 + b"1]", Reason.TOO_LARGE),
    "empty objects": (b"[" + b"{}," * 2_000_000 + b"{}]", Reason.TOO_LARGE),
    "escaped quotes": (b'["' + b'\\"' * 4_000_000, Reason.INVALID_JSON),
    "quotes": (b"[" + b'"' * 8_000_000, Reason.INVALID_JSON),
    "backslashes": (b'["' + b"\\" * 8_000_000, Reason.INVALID_JSON),
}


@pytest.mark.parametrize(("wire", "reason"), FLOODS.values(), ids=FLOODS.keys())
def test_flood_is_refused(wire: bytes, reason: Reason) -> None:
    """100,000 brackets, or 8 MB of what is tiny or never ends, are refused in linear time."""
    assert refusal(wire) is reason


def test_flood_of_lines_is_too_large() -> None:
    """8 MB of tiny lines, blank or not, are refused before each becomes an object."""
    assert refusal(b"\n" * 8_000_000, NDJSON) is Reason.TOO_LARGE
    assert refusal(b"1\n" * 4_000_000, NDJSON) is Reason.TOO_LARGE


@pytest.mark.parametrize("encoding", Encoding)
@FORMS
def test_decoded_size_is_bounded(wire: bytes, media: bytes, encoding: Encoding) -> None:
    """A body that decodes to exactly the limit is taken; to one byte more, it is too large."""
    sent = (COMPRESS[encoding](wire), media, encoding)
    assert take(*sent, decoded_bytes_max=len(wire)).refused == []
    assert refusal(*sent, decoded_bytes_max=len(wire) - 1) is Reason.TOO_LARGE


def test_size_of_a_body_assembled_anew_is_bounded() -> None:
    """`null` in the place of something shorter counts: what is stored is within the limit too."""
    wire = GOOD + b"\n1" * 9
    size = len(b"[%b]" % GOOD) + 9 * len(b",null")
    assert len(take(wire, NDJSON, decoded_bytes_max=size).body) == size
    assert refusal(wire, NDJSON, decoded_bytes_max=size - 1) is Reason.TOO_LARGE


@FORMS
def test_event_size_is_bounded(wire: bytes, media: bytes) -> None:
    """An event of exactly the limit is taken; one byte more is too large."""
    assert take(wire, media, event_bytes_max=len(GOOD)).refused == []
    assert refusal(wire, media, event_bytes_max=len(GOOD) - 1) is Reason.TOO_LARGE


def test_large_event_leaves_its_neighbours_alone() -> None:
    """Of a batch only the event that is over the limit is refused."""
    for wire, media in ((b"[%b,%b]", JSON), (b"%b\n%b", NDJSON)):
        batch = take(wire % (GOOD, event(b"{ }")), media, event_bytes_max=len(GOOD))
        assert [(r.index, r.reason) for r in batch.refused] == [(1, Reason.TOO_LARGE)]


@pytest.mark.parametrize("other", [GOOD, b"1"], ids=["valid", "refused"])
def test_count_is_bounded(other: bytes) -> None:
    """A batch of exactly the limit is taken, one event more is too large, refused ones counted."""
    for wire, joint, media in ((b"[%b]", b",", JSON), (b"\n\n%b\n\n", b"\n", NDJSON)):
        most, over = (wire % joint.join([GOOD, *[other] * n]) for n in (4_999, 5_000))
        assert len(take(most, media).events) == 5_000
        assert refusal(over, media) is Reason.TOO_LARGE
