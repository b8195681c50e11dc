"""A table of what makes an envelope wrong, and properties: the signed bytes come through unchanged,
two envelopes are two events, a replay is one, and for any bytes only Rejected comes out."""

import hashlib
import hmac
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.auth import keyed
from core.body import Limits
from core.codec import BODY, HEADER, decode, encode_header, explode
from core.compression import Encoding
from core.envelope import (
    NONCE_MAX,
    Envelope,
    claim,
    entry_of,
    is_signed_by,
    read_envelope,
    type_of,
    verify_envelope,
)
from core.errors import AuthFailure, Reason, Rejected
from core.event import Row

SECRET = "whsec_test"
TIMESTAMP, NOW_MS = "2024-01-15T09:50:00.123Z", 1705312200123
EVENT = '{"type":"mcp_save", "n": 1.0,"e":1e2,"u":"\\u00fc \\/"}'
KEYS = [keyed("another"), keyed(SECRET)]


def body_of(event: str = EVENT, *, extended: bool = False, **changed: Any) -> bytes:
    """An envelope, built without our code; what is changed is changed after signing."""
    signed = f"cli\n{TIMESTAMP}\nproj_1\n{event}" if extended else event
    members: dict[str, Any] = {
        "source": "cli",
        "timestamp": TIMESTAMP,
        "nonce": "n-1",
        "signature": hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest(),
        "projectId": "proj_1",
        **changed,
    }
    texts = [f"{json.dumps(k)}:{json.dumps(v)}" for k, v in members.items() if v is not ...]
    texts.append(f'"event": {event} ')
    return f"{{{','.join(texts)}}}".encode()


def read(body: bytes, media: bytes = b"application/json", **limits: Any) -> Envelope:
    """An envelope, read."""
    return read_envelope(
        body, content_type=media, encoding=Encoding.IDENTITY, limits=Limits(**limits)
    )


def row_of(body: bytes, *, now_ms: int = NOW_MS, keys: Any = KEYS, **limits: Any) -> Row:
    """What the worker makes of an envelope that the gateway has let in."""
    envelope = read(body, **limits)
    signed = claim(envelope, now_ms=now_ms, window_s=300)
    mac = verify_envelope(keys, signed)
    name = type_of(envelope, Limits(**limits))
    entry, identity = entry_of(
        envelope, signed, name=name, mac=mac, session="sess_1", now_ms=now_ms
    )
    (row,) = explode(decode({HEADER: encode_header(entry), BODY: entry.body}))
    assert row.event_id == identity
    return row


def refusal(body: bytes, **options: Any) -> Rejected:
    """Why an envelope is not let in."""
    with pytest.raises(Rejected) as caught:
        row_of(body, **options)
    return caught.value


@pytest.mark.parametrize("extended", [False, True], ids=["event", "extended"])
def test_envelope_becomes_a_row(extended: bool) -> None:
    """Either signature lets in: what is stored is `event.type`, the signed bytes and `source`."""
    row = row_of(body_of(extended=extended, skipEnrichment=True))
    assert row == Row(
        "proj_1", row.event_id, "sess_1", "mcp_save", EVENT, NOW_MS, NOW_MS, source="cli"
    )
    assert re.fullmatch(r"evt_01HM68E9A0[0-9A-Z]{16}", row.event_id)


def test_what_makes_an_event_another() -> None:
    """Sent twice it is one event; with another nonce, time or signature it is another."""
    later = TIMESTAMP.replace("123", "124")
    bodies = [body_of(), body_of(nonce="n-2"), body_of(timestamp=later), body_of(extended=True)]
    assert len({row_of(body).event_id for body in bodies * 2}) == len(bodies)
    with_more = body_of(skipEnrichment=True, extensionVersion="1")
    assert row_of(with_more).event_id == row_of(body_of()).event_id


def test_which_key_has_signed() -> None:
    """Once verified, it can be told which key has signed."""
    for extended in (False, True):
        signed = claim(read(body_of(extended=extended)), now_ms=NOW_MS, window_s=300)
        mac = verify_envelope(KEYS, signed)
        assert [is_signed_by(key, signed, mac) for key in KEYS] == [False, True]


def test_time_of_the_id_is_the_signed_one() -> None:
    """Ids sort by the second that the client has said."""
    older = body_of(timestamp="2024-01-15T09:49:59.999Z")
    assert row_of(older).event_id < row_of(body_of()).event_id


def test_last_of_two_members_counts() -> None:
    """Of two `event` members the last is verified and stored; the first is nothing."""
    other = '{"type":"other"}'
    assert row_of(b'{"event":' + other.encode() + b"," + body_of()[1:]).payload == EVENT
    twice = body_of()[:-1] + b',"event":' + other.encode() + b"}"
    assert refusal(twice).failure is AuthFailure.BAD_SIGNATURE


MISSING = AuthFailure.MISSING_HEADER
UNAUTHORIZED = {
    "no signature": (body_of(signature=...), MISSING),
    "null for a signature": (body_of(signature=None), MISSING),
    "empty signature": (body_of(signature=""), MISSING),
    "no project": (body_of(projectId=...), MISSING),
    "no timestamp": (body_of(timestamp=...), MISSING),
    "no nonce": (body_of(nonce=...), MISSING),
    "other project, extended": (
        body_of(extended=True, projectId="proj_2"),
        AuthFailure.BAD_SIGNATURE,
    ),
    "other source, extended": (body_of(extended=True, source="x"), AuthFailure.BAD_SIGNATURE),
    "no source, extended": (body_of(extended=True, source=...), AuthFailure.BAD_SIGNATURE),
    "impossible project": (body_of(projectId="proj\n1"), AuthFailure.UNKNOWN_PROJECT),
    "timestamp in words": (body_of(timestamp="now"), AuthFailure.BAD_TIMESTAMP),
    "timestamp of a 13th month": (
        body_of(timestamp="2024-13-15T09:50:00Z"),
        AuthFailure.BAD_TIMESTAMP,
    ),
    "timestamp and a newline": (body_of(timestamp=TIMESTAMP + "\n"), AuthFailure.BAD_TIMESTAMP),
    "a batch": (b" \n[" + body_of() + b"]", MISSING),
    "signature with a prefix": (body_of(signature="sha256=" + "0" * 64), AuthFailure.BAD_SIGNATURE),
    "signature not ASCII": (body_of(signature="ü"), AuthFailure.BAD_SIGNATURE),
    "event changed": (body_of().replace(b"1.0", b"1.1"), AuthFailure.BAD_SIGNATURE),
    "event written anew": (body_of().replace(b"1.0", b"1"), AuthFailure.BAD_SIGNATURE),
    "event with its members in another order": (
        body_of().replace(b'"n": 1.0,"e":1e2', b'"e":1e2,"n": 1.0'),
        AuthFailure.BAD_SIGNATURE,
    ),
}


@pytest.mark.parametrize(("body", "failure"), UNAUTHORIZED.values(), ids=UNAUTHORIZED.keys())
def test_unauthorized(body: bytes, failure: AuthFailure) -> None:
    """What is not signed by who it says, and as it says, is unauthorized."""
    error = refusal(body)
    assert (error.reason, error.failure) == (Reason.UNAUTHORIZED, failure)


@pytest.mark.parametrize(
    ("off_ms", "let_in"), [(300_000, True), (-300_000, True), (300_001, False), (-300_001, False)]
)
def test_window(off_ms: int, let_in: bool) -> None:
    """The timestamp may be off by the window, to the millisecond, the edges included."""
    if let_in:
        assert row_of(body_of(), now_ms=NOW_MS + off_ms)
    else:
        error = refusal(body_of(), now_ms=NOW_MS + off_ms)
        assert error.failure is AuthFailure.OUTSIDE_WINDOW


INVALID = {
    "number": (b"1", Reason.INVALID_EVENT),
    "signature of another type": (body_of(signature=5), Reason.INVALID_EVENT),
    "empty": (b"", Reason.INVALID_JSON),
    "cut short": (body_of()[:-1], Reason.INVALID_JSON),
    "not UTF-8": (body_of().replace(b"n-1", b"n\xff"), Reason.INVALID_JSON),
    "NaN in the event": (body_of('{"type":"a","n":NaN}'), Reason.INVALID_JSON),
    "nested deep": (body_of('{"type":"a","n":' + "[" * 127 + "]" * 127 + "}"), Reason.INVALID_JSON),
    "no source": (body_of(source=...), Reason.INVALID_EVENT),
    "source with a newline": (body_of(source="a\nb"), Reason.INVALID_EVENT),
    "long source": (body_of(source="a" * 65), Reason.INVALID_EVENT),
    "long nonce": (body_of(nonce="n" * (NONCE_MAX + 1)), Reason.INVALID_EVENT),
    "event in words": (body_of('"save"'), Reason.INVALID_EVENT),
    "event as an array": (body_of("[]"), Reason.INVALID_EVENT),
    "no type": (body_of("{}"), Reason.INVALID_EVENT),
    "type of another type": (body_of('{"type":1}'), Reason.INVALID_EVENT),
    "type with a blank": (body_of('{"type":"a b"}'), Reason.INVALID_EVENT),
}


@pytest.mark.parametrize(("body", "reason"), INVALID.values(), ids=INVALID.keys())
def test_invalid(body: bytes, reason: Reason) -> None:
    """A body of another shape is refused for it, with a sentence for the sender."""
    error = refusal(body)
    assert (error.reason, error.failure) == (reason, None)
    assert error.sentence


def test_event_that_is_missing() -> None:
    """An envelope without an event is refused, even where the empty text is signed."""
    nothing = hmac.new(SECRET.encode(), b"", hashlib.sha256).hexdigest()
    body = body_of(signature=nothing).replace(b'"event"', b'"other"')
    assert refusal(body).reason is Reason.INVALID_EVENT


def test_limits() -> None:
    """The event's size, its type and the decoded size have the limits of any event."""
    assert row_of(body_of(), event_bytes_max=len(EVENT))
    assert refusal(body_of(), event_bytes_max=len(EVENT) - 1).reason is Reason.TOO_LARGE
    assert row_of(body_of(), event_types=frozenset({"mcp_save"}))
    error = refusal(body_of(), event_types=frozenset({"b", "a"}))
    assert error.sentence == "`event.type` must be one of a, b"


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (b"application/x-ndjson", Reason.UNAUTHORIZED),
        (b"text/plain", Reason.UNSUPPORTED_MEDIA_TYPE),
        (b"", Reason.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_media_type(media: bytes, reason: Reason) -> None:
    """An envelope is application/json; lines are signed by headers, or not at all."""
    with pytest.raises(Rejected) as caught:
        read(body_of(), media)
    assert caught.value.reason is reason


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(JSON_VALUES, st.booleans(), st.sampled_from([(",", ":"), (" ,\t", "\r: ")]), st.booleans())
def test_signed_bytes_are_stored(
    value: Any, ascii_: bool, joints: tuple[str, str], extended: bool
) -> None:
    """Whatever an event holds and however it is written, its bytes are what is stored."""
    text = json.dumps({"v": value, "type": "a"}, ensure_ascii=ascii_, separators=joints)
    assert row_of(body_of(text, extended=extended)).payload == text


@given(st.text(st.sampled_from('\ud83d\ude00😀\\"ud'), max_size=9), st.booleans())
def test_halves_of_surrogate_pairs_are_stored(text: str, extended: bool) -> None:
    """An emoji that a client has cut in two does not change what is signed and stored."""
    event = json.dumps({text: [text], "type": "a"})
    assert row_of(body_of(event, extended=extended)).payload == event


@pytest.mark.parametrize("member", ["source", "timestamp", "nonce", "signature", "projectId"])
def test_halves_elsewhere(member: str) -> None:
    """What is not kept as it is may hold no half of a surrogate pair, but what is ignored may."""
    assert refusal(body_of(**{member: "\ud83d"})).reason is Reason.INVALID_EVENT
    assert refusal(body_of('{"type":"\\ud83d"}')).reason is Reason.INVALID_EVENT
    assert row_of(body_of(extensionVersion="\ud83d")).payload == EVENT


MEMBERS = st.sampled_from(
    ["event", "source", "timestamp", "nonce", "signature", "projectId", "type", "x"]
)
DOCUMENTS = st.dictionaries(MEMBERS, JSON_VALUES | st.text()).map(json.dumps).map(str.encode)
SPOILT = st.builds(
    lambda body, at, bit: body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :],
    st.just(body_of()),
    st.integers(0, len(body_of()) - 1),
    st.integers(0, 7),
)


@given(st.binary() | DOCUMENTS | SPOILT)
def test_reader_is_total(body: bytes) -> None:
    """Whatever the bytes are, a row or Rejected comes out; and no bit of the event can change."""
    with suppress(Rejected):
        assert row_of(body).payload == EVENT
