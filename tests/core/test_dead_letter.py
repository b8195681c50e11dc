"""Dead letters: their fields, and the way back into the stream."""

import pytest

from core.body import Form
from core.codec import BODY, HEADER, Entry, decode, encode_header, explode
from core.compression import Encoding
from core.dead_letter import events_of, of_entry, of_event, row_of, to_replay
from core.errors import Refused
from core.event import Row

ROW = Row("proj_1", "evt_1", "sess_1", "saved", '{"x":"ü"}', None, 1_800_000_000_123)


def test_event() -> None:
    """An event's dead letter holds all that is needed to store it later, and why it was refused."""
    assert of_event(b"5-0", ROW, "CHECK constraint").fields() == {
        b"v": b"1",
        b"why": b"CHECK constraint",
        b"entry": b"5-0",
        b"project": b"proj_1",
        b"session": b"sess_1",
        b"eventId": b"evt_1",
        b"event": b"saved",
        b"occurredMs": b"",
        b"receivedMs": b"1800000000123",
        b"payload": '{"x":"ü"}'.encode(),
    }


def test_time_it_happened() -> None:
    """The time it happened is kept if there is one, zero too."""
    assert of_event(b"5-0", ROW._replace(occurred_ms=0), "").fields()[b"occurredMs"] == b"0"


def test_source() -> None:
    """A source is kept if there is one, and comes back."""
    row = ROW._replace(source='a "b"', occurred_ms=1)
    fields = of_event(b"5-0", row, "").fields()
    assert fields[b"source"] == b'a "b"'
    assert row_of(fields) == row
    assert explode(decode(to_replay(fields))) == [row]


def test_entry() -> None:
    """An entry that cannot be read is kept as it was."""
    letter = of_entry(b"5-0", {b"h": b"9|x", b"b": b"\xff"}, "version")
    assert letter.fields() == {
        b"v": b"1",
        b"why": b"version",
        b"entry": b"5-0",
        b"project": b"?",
        b"count": b"1",
        b"h": b"9|x",
        b"b": b"\xff",
    }


def test_reason_is_bounded() -> None:
    """A long reason is cut."""
    assert len(of_event(b"5-0", ROW, "x" * 10_000).fields()[b"why"]) == 500


@pytest.mark.parametrize(
    ("header", "project", "events"),
    [
        (b"1|proj_1|s|1|array|gzip|500|1|00", "proj_1", 500),
        (b"2|proj_1|s|1|array|gzip|3|more|of|it", "proj_1", 3),
        (b"1|proj_1|s|1|array|gzip|x|1|00", "?", 1),
        (b"1|proj_1|s|1|array|gzip|99999999|1|00", "?", 1),
        (b"1|\xff|s|1|array|gzip|5|1|00", "?", 1),
        (b"1||s|1|array|gzip|5|1|00", "?", 1),
        (b"1|a\x00b|s|1|array|gzip|5|1|00", "?", 1),
        (b"", "?", 1),
    ],
)
def test_whose_entry(header: bytes, project: str, events: int) -> None:
    """An entry that cannot be read tells whose it is and how many events, as far as it can."""
    letter = of_entry(b"5-0", {HEADER: header}, "why")
    assert (letter.project, letter.events) == (project, events)
    assert events_of(letter.fields()) == events


@pytest.mark.parametrize("occurred_ms", [None, 0, 1, 1_700_000_000_123, 253_402_300_799_000])
def test_event_comes_back(occurred_ms: int | None) -> None:
    """Replayed, an event is the same row: id, session, times, and its payload byte for byte."""
    row = ROW._replace(occurred_ms=occurred_ms, payload='{ "x" :1.0,"y":1e2 , "z":"\\u0000" }')
    fields = of_event(b"5-0", row, "why").fields()
    assert row_of(fields) == row
    assert explode(decode(to_replay(fields))) == [row]
    assert events_of(fields) == 1


def test_entry_comes_back() -> None:
    """An entry that could not be read goes back as it was."""
    entry = Entry("proj_1", "s", 1, Form.ARRAY, Encoding.IDENTITY, 2, 1, bytes(32), b"[1]")
    fields = of_entry(b"5-0", {HEADER: encode_header(entry), BODY: b"[1]"}, "why").fields()
    assert row_of(fields) is None
    assert to_replay(fields) == {HEADER: encode_header(entry), BODY: b"[1]"}


def test_any_entry_comes_back() -> None:
    """Whatever an entry's fields are called, it is kept and goes back whole."""
    names = (b"v", b"why", b"entry", b"project", b"count", b"payload", b"~", b"~v", b"x", b"h", b"")
    entry = {name: b"\xff" + name for name in names}
    fields = of_entry(b"5-0", entry, "a reason").fields()
    assert (fields[b"v"], fields[b"why"], fields[b"project"]) == (b"1", b"a reason", b"?")
    assert row_of(fields) is None
    assert to_replay(fields) == entry


EVENT = of_event(b"5-0", ROW, "why").fields()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"x": b"y"},
        {**EVENT, b"v": b"2"},
        {**EVENT, b"payload": b"\xff"},
        {**EVENT, b"receivedMs": b"soon"},
        {name: value for name, value in EVENT.items() if name != b"session"},
        {b"v": b"1", b"why": b"nothing", b"project": b"p"},
    ],
    ids=["empty", "foreign", "version", "bytes", "number", "member", "nothing"],
)
def test_other_things(fields: dict[bytes, bytes]) -> None:
    """What is no dead letter of this version is refused, and counts as one event."""
    with pytest.raises(Refused):
        row_of(fields)
    with pytest.raises(Refused):
        to_replay(fields)
    assert events_of({**fields, b"count": b"many"}) == 1
