"""An event as producers send it, and the row it becomes.

The payload is never decoded into objects: `msgspec.Raw` keeps the bytes as they were signed, so
what is stored can be proved later. Members that are not named here are ignored.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from core.kernels import is_well_formed
from core.words import NAME, WORD_BYTES, is_name

LENGTHS = frozenset(range(1, 65))  # of identifiers
RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch
UNIX_S_MAX = 253_402_300_799  # the last second of the year 9999
OPEN_BRACE = ord("{")


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event, its shape checked by the decoder and its values by `fault`."""

    event: str
    payload: msgspec.Raw
    id: str | None = None
    timestamp: str | int | float | None = None


class SourcedEvent(Event, frozen=True, gc=False):
    """An event with the client that sent it, as core.codec writes it."""

    source: str | None = None


class Row(NamedTuple):
    """One row of the table `events`, in the order of its columns."""

    project_id: str
    event_id: str
    session_id: str
    event: str
    payload: str  # JSON text, byte for byte as it was signed
    occurred_ms: int | None  # when it happened, by the producer's clock, if it said so
    received_ms: int  # when the gateway accepted it
    source: str | None = None  # the client, if it named itself: only envelopes do


def occurred_ms(timestamp: str | int | float | None) -> int | None:
    """Unix ms from RFC 3339 text or Unix seconds; None if the event gave no time.

    Raises ValueError if it is neither, or not within the years 1970 to 9999.
    """
    if timestamp is None:
        return None
    if isinstance(timestamp, str):
        if not RFC_3339(timestamp):
            raise ValueError("not RFC 3339")
        seconds = datetime.fromisoformat(timestamp.upper()).timestamp()
    else:
        seconds = timestamp
    if not 0 <= seconds <= UNIX_S_MAX:
        raise ValueError("not within the years 1970 to 9999")
    return round(seconds * 1000)


def rfc_3339(time_ms: int | None) -> str | None:
    """Unix ms as text in UTC with milliseconds, no later than the year 9999; None stays None."""
    if time_ms is None:
        return None
    seconds = min(time_ms, UNIX_S_MAX * 1000 + 999) / 1000
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def fault(event: Event, types: frozenset[str]) -> str | None:
    """What is wrong with the event's values, as a sentence for the producer; None if nothing is.

    types: the event types that are taken; empty means any.
    """
    name = event.event
    sound = is_well_formed(name, event.payload, event.id)
    if not sound and not NAME(name):
        return "`event` must be 1 to 128 characters of A-Z a-z 0-9 _ . : -"
    if types and name not in types:
        return f"`event` must be one of {', '.join(sorted(types))}"
    if not sound and memoryview(event.payload)[0] != OPEN_BRACE:
        return "`payload` must be an object"
    if not sound:
        return "`id` must be 1 to 64 characters of A-Z a-z 0-9 _ . : -"
    if event.timestamp is not None:
        try:
            occurred_ms(event.timestamp)
        except ValueError:
            return "`timestamp` must be RFC 3339 or Unix seconds, within the years 1970 to 9999"
    return None


def own_ids(events: list[Event], types: frozenset[str]) -> list[str | None] | None:
    """Each event's `id`, if `fault` finds nothing in any of them, which is told of all at once: a
    tenth of its time. None: something may be wrong.

    What is checked one by one elsewhere is joined here; payloads by a NUL, which the decoder has
    let none of them hold.
    """
    names = {event.event for event in events}
    if not all(map(is_name, names)) or (types and not names <= types):
        return None
    ids = [event.id for event in events]
    given = [id_ for id_ in ids if id_ is not None] if None in ids else ids
    if not LENGTHS.issuperset(map(len, given)):  # type: ignore[arg-type]
        return None
    if "".join(given).encode().translate(None, WORD_BYTES):  # type: ignore[arg-type]
        return None
    if b"\0".join([b"", *[event.payload for event in events]]).count(b"\0{") != len(events):
        return None
    try:
        for timestamp in {event.timestamp for event in events}:
            if timestamp is not None:
                occurred_ms(timestamp)
    except ValueError:
        return None
    return ids
