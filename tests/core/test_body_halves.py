"""Halves of surrogate pairs: taken where a body is kept as it is, refused where it is read."""

import pytest

from core.body import Form, read_events
from core.errors import Reason
from tests.core.test_body import (
    GOOD,
    IN_KEY,
    IN_PAYLOAD,
    JSON,
    NDJSON,
    UNKNOWN,
    event,
    refusal,
    take,
)

HALVES = [b"\\ud83d", b"\\uDE00 ", b"\\ud83d\\ud83d\\ude00", b"\\ude00\\ud83d", b"\\\\\\ud83dx"]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("place", [IN_PAYLOAD, UNKNOWN, IN_KEY])
def test_halves_of_surrogate_pairs(place: bytes, half: bytes) -> None:
    """What JSON.stringify writes of an emoji that was cut is taken, and kept as it was sent."""
    wire = place % (b'"%b"' % half)
    payload = b"{}" if place is UNKNOWN else wire[len(b'{"event":"a","payload":') : -1]
    for body, media, at in (
        (wire, JSON, 0),
        (wire, NDJSON, 0),
        (b"[%b,%b]" % (GOOD, wire), JSON, 1),
        (b"%b\n%b" % (GOOD, wire), NDJSON, 1),
    ):
        batch = take(body, media)
        event = batch.events[at]
        assert event
        assert (batch.body, batch.count, bytes(event.payload)) == (body, at + 1, payload)
        assert read_events(batch.form, batch.body) == batch.events


@pytest.mark.parametrize("member", [b"event", b"id", b"timestamp"])
def test_halves_elsewhere(member: bytes) -> None:
    """What is read, not kept, may hold no half: it is refused, and leaves its neighbours alone."""
    bad = b'{"event":"a","payload":{"x":"\\ud83d"},"%b":"\\ud83d"}' % member
    assert refusal(bad) is refusal(bad, NDJSON) is refusal(b"[%b]" % bad) is Reason.INVALID_EVENT
    kept = event(b'{"x":"\\ud83d"}')
    batch = take(b"[%b,%b]" % (bad, kept))
    assert (batch.form, batch.body) == (Form.ARRAY, b"[null,%b]" % kept)
    assert read_events(batch.form, batch.body) == batch.events
