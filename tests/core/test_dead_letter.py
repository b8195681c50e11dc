"""The fields of a dead letter, for an event and for an entry."""

from worker.dead_letters import of_entry, of_event

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


def test_entry() -> None:
    """An entry that cannot be read is kept as it was."""
    letter = of_entry(b"5-0", {b"h": b"9|x", b"b": b"\xff"}, "version")
    assert letter.fields() == {
        b"v": b"1",
        b"why": b"version",
        b"entry": b"5-0",
        b"h": b"9|x",
        b"b": b"\xff",
    }


def test_reason_is_bounded() -> None:
    """A long reason is cut."""
    assert len(of_event(b"5-0", ROW, "x" * 10_000).fields()[b"why"]) == 500
