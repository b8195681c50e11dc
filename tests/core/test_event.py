"""Tables of values at and beyond each bound that an event's members have."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.event import Event, fault, occurred_ms, own_ids, rfc_3339

decode = msgspec.json.Decoder(Event).decode


def event(name: str = "a", payload: bytes = b"{}", **members: Any) -> Event:
    """An event without a fault, but for what is given."""
    return Event(name, msgspec.Raw(payload), **members)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            b'{"event":"x","payload":[],"event":"a","payload":{}}', event(), id="repeated members"
        ),
        pytest.param(b'{"event":"a","payload":{},"id":null}', event(), id="null id"),
        pytest.param(b'{"event":"a","payload":{},"x":{"id":1},"ID":2}', event(), id="unknown ones"),
        pytest.param(
            b'{"timestamp":1,"id":"x","payload":{},"event":"a"}',
            event(id="x", timestamp=1),
            id="all",
        ),
    ],
)
def test_members_of_an_event(text: bytes, expected: Event) -> None:
    """Of a repeated member the last one counts, null is absent, and unknown ones are ignored."""
    assert decode(text) == expected


@pytest.mark.parametrize(
    "payload",
    [b'{ "a" : 1.0 }', b'{"a":1,"a":2}', b'{"a":"\\u0000"}', b'{"a":"\\u00e9\xc3\xa9"}', b"{\n}"],
)
def test_payload_is_kept_byte_for_byte(payload: bytes) -> None:
    """A payload is never written anew: spaces, repeated keys and escapes stay as they were."""
    assert bytes(decode(b'{"event":"a","payload": ' + payload + b' ,"x":1}').payload) == payload


@pytest.mark.parametrize(
    ("timestamp", "expected_ms"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(0, 0, id="epoch"),
        pytest.param(1705312200, 1705312200000, id="seconds"),
        pytest.param(1705312200.123, 1705312200123, id="fraction of a second"),
        pytest.param(1.005, 1005, id="fraction that floats fall short of"),
        pytest.param(253402300799, 253402300799000, id="last second"),
        pytest.param("2024-01-15T09:50:00Z", 1705312200000, id="UTC"),
        pytest.param("2024-01-15t09:50:00z", 1705312200000, id="lower case"),
        pytest.param("2024-01-15 09:50:00Z", 1705312200000, id="space"),
        pytest.param("2024-01-15T11:50:00+02:00", 1705312200000, id="east"),
        pytest.param("2024-01-15T04:20:00-05:30", 1705312200000, id="west"),
        pytest.param("2024-01-15T09:50:00.5Z", 1705312200500, id="tenths"),
        pytest.param("2024-01-15T09:50:00.123456789Z", 1705312200123, id="nanoseconds"),
        pytest.param("1970-01-01T00:00:00Z", 0, id="epoch in words"),
        pytest.param("9999-12-31T23:59:59Z", 253402300799000, id="last second in words"),
    ],
)
def test_time_of_an_event_is_read(timestamp: str | float | None, expected_ms: int | None) -> None:
    """RFC 3339 and Unix seconds become Unix milliseconds; no time stays none."""
    assert occurred_ms(timestamp) == expected_ms


@pytest.mark.parametrize(
    "timestamp",
    [
        pytest.param("", id="empty"),
        pytest.param("yesterday", id="words"),
        pytest.param("1705312200", id="Unix seconds in quotes"),
        pytest.param("2024-01-15", id="date only"),
        pytest.param("2024-01-15T09:50Z", id="no seconds"),
        pytest.param("2024-01-15T09:50:00", id="no zone"),
        pytest.param("2024-01-15T09:50:00+0200", id="zone without colon"),
        pytest.param("2024-01-15T09:50:00Z\n", id="newline after"),
        pytest.param("2024-01-15T09:50:00.Z", id="empty fraction"),
        pytest.param("2024-01-15T09:50:00.1234567890Z", id="ten digits of fraction"),
        pytest.param("2024-13-15T09:50:00Z", id="month 13"),
        pytest.param("2023-02-29T09:50:00Z", id="no leap year"),
        pytest.param("2024-01-15T25:50:00Z", id="hour 25"),
        pytest.param("2024-01-15T09:50:00+24:00", id="zone a day away"),
        pytest.param("2024-W03-1T09:50:00Z", id="ISO week"),
        pytest.param("\uff12\uff10\uff12\uff14-01-15T09:50:00Z", id="full-width digits"),
        pytest.param("0000-01-01T00:00:00Z", id="year 0"),
        pytest.param("0001-01-01T00:00:00+23:59", id="before year 1"),
        pytest.param("1969-12-31T23:59:59Z", id="before 1970"),
        pytest.param("9999-12-31T23:59:59-00:01", id="after 9999"),
        pytest.param(-1, id="negative"),
        pytest.param(-0.001, id="just negative"),
        pytest.param(253402300800, id="year 10000"),
        pytest.param(10**300, id="far away"),
        pytest.param(1e308, id="farther"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(float("nan"), id="not a number"),
    ],
)
def test_bad_time_is_a_value_error(timestamp: str | float | None) -> None:
    """A time that is neither form, or not within 1970 to 9999, is refused."""
    with pytest.raises(ValueError):
        occurred_ms(timestamp)
    assert fault(event(timestamp=timestamp), frozenset()).startswith("`timestamp` must be RFC 3339")


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(event("session_save"), id="as documented"),
        pytest.param(event("A-Za-z0-9_.:"), id="every kind of character"),
        pytest.param(event("x" * 128), id="longest name"),
        pytest.param(event(payload=b'{"a":1}'), id="payload"),
        pytest.param(event(id="x"), id="shortest id"),
        pytest.param(event(id="x" * 64), id="longest id"),
        pytest.param(event(timestamp="2024-01-15T09:50:00Z"), id="RFC 3339"),
        pytest.param(event(timestamp=1705312200.5), id="Unix seconds"),
    ],
)
def test_event_within_bounds_has_no_fault(good: Event) -> None:
    """An event with values within their bounds has no fault."""
    assert fault(good, frozenset()) is None


BAD_NAMES = ["", " ", "a b", "a\n", "a/b", "é", "a\x00", "\ud800", "\uff11"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "x" * 129], ids=ascii)
def test_bad_name_is_a_fault(name: str) -> None:
    """A name that is empty, too long or holds any other character, a last newline too, is not."""
    assert fault(event(name), frozenset()).startswith("`event` must be 1 to 128 characters")


@pytest.mark.parametrize("identifier", [*BAD_NAMES, "x" * 65], ids=ascii)
def test_bad_id_is_a_fault(identifier: str) -> None:
    """An id that is empty, too long or holds any other character, a last newline too, is not."""
    assert fault(event(id=identifier), frozenset()).startswith("`id` must be 1 to 64 characters")


@pytest.mark.parametrize("payload", [b"[]", b"null", b"1", b'"{}"', b"true"], ids=bytes.decode)
def test_payload_that_is_no_object_is_a_fault(payload: bytes) -> None:
    """A payload that is any JSON but an object is a fault."""
    assert fault(event(payload=payload), frozenset()) == "`payload` must be an object"


def test_allow_list_of_types() -> None:
    """With an allow-list an event of another type is a fault that lists what is taken."""
    types = frozenset({"session_save", "git_digest"})
    assert fault(event("git_digest"), types) is None
    assert fault(event("git_diges"), types) == "`event` must be one of git_digest, session_save"


TEXTS = st.sampled_from(["a", "b.c", "", "a\n", "a\nb", "\n", "\0", "é", "x" * 64, "x" * 129])
PAYLOADS = st.sampled_from([b"{}", b"[]", b'"{"', b'{"a":"{"}', b"1", b'["{{"]'])
EVENTS = st.builds(
    event,
    TEXTS,
    PAYLOADS,
    id=st.none() | TEXTS,
    timestamp=st.sampled_from([None, 1, -1, "x", "2024-01-15T09:30:00Z"]),
)


@pytest.mark.parametrize("payload", [b'"\0{"', b'{"a":"\0"}', b"{}\0", b"[\0{]", b"\0{}"])
def test_no_nul_in_a_payload(payload: bytes) -> None:
    """The decoder lets no NUL through, wherever it stands."""
    with pytest.raises(msgspec.DecodeError):
        decode(b'{"event":"a","payload":' + payload + b"}")


@given(st.lists(EVENTS, max_size=4), st.sampled_from([frozenset(), frozenset({"a", "b.c"})]))
@example([event(id="a\nb"), event()], frozenset())
@example([event(id="é"), event()], frozenset())
@example([event(id=""), event()], frozenset())
@example([event(id="x" * 65), event()], frozenset())
@example([event(), event("b.c", id="y", timestamp=1)], frozenset({"a", "b.c"}))
def test_all_at_once(events: list[Event], types: frozenset[str]) -> None:
    """What is found valid all at once is so one by one, and the other way round."""
    valid = not any(fault(one, types) for one in events)
    assert own_ids(events, types) == ([one.id for one in events] if valid else None)


@given(st.none() | st.text() | st.integers() | st.floats())
def test_occurred_ms_is_total(timestamp: str | float | None) -> None:
    """Any text or number is a time within 1970 to 9999 or a ValueError."""
    try:
        time_ms = occurred_ms(timestamp)
    except ValueError:
        return
    assert time_ms is None if timestamp is None else 0 <= time_ms <= 253402300799000


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_705_312_200_123, "2024-01-15T09:50:00.123Z"),
        (1_705_312_200_000, "2024-01-15T09:50:00.000Z"),
        (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        (999_999_999_999_999, "9999-12-31T23:59:59.998Z"),
    ],
)
def test_rfc_3339(time_ms: int | None, text: str | None) -> None:
    """Times are UTC with milliseconds and a Z; no time stays none; later years are 9999."""
    assert rfc_3339(time_ms) == text
