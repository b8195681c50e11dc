"""What the store will not take is kept beside the stream, with the reason, until someone decides.

    ingest:{n}:dead := v | why | entry | project | session | eventId | event | occurredMs |
                       receivedMs | source | payload    an event that the store refused
                     | v | why | entry | project | count | h | b
                                                    an entry that could not be read, as it was

`v` is "1", `entry` the id in the stream ingest:{n}, `why` one line for a person; `occurredMs` is
empty if the event gave no time, `source` is left out if it named none; `project` is "?" and `count`
1 if the entry does not tell. Whatever else an entry held is kept beside `h` and `b`; a "~" goes
before names that would be taken for ours.
"""

from typing import NamedTuple

from core.body import Form
from core.codec import BODY, HEADER, PROJECT, Entry, encode_header, event_text
from core.compression import Encoding
from core.errors import Refused
from core.event import Row
from core.ledger import UNKNOWN

VERSION = b"1"
WHY_MAX = 500
COUNT_DIGITS_MAX = 7
NO_CONTENT = frozenset((b"v", b"why", b"entry", b"project", b"count"))
OURS = NO_CONTENT | {b"payload"}
ESCAPE = b"~"


class DeadLetter(NamedTuple):
    """One event, or one entry that could not be read."""

    why: str
    project: str
    events: int
    content: dict[bytes, bytes]

    def fields(self) -> dict[bytes, bytes]:
        """The stream entry's fields."""
        return {b"v": VERSION, b"why": self.why[:WHY_MAX].encode(), **self.content}


def of_event(entry_id: bytes, row: Row, why: str) -> DeadLetter:
    """A dead letter for an event that the store refused."""
    content = {
        b"entry": entry_id,
        b"project": row.project_id.encode(),
        b"session": row.session_id.encode(),
        b"eventId": row.event_id.encode(),
        b"event": row.event.encode(),
        b"occurredMs": b"" if row.occurred_ms is None else b"%d" % row.occurred_ms,
        b"receivedMs": b"%d" % row.received_ms,
        b"payload": row.payload.encode(),
    }
    if row.source is not None:
        content[b"source"] = row.source.encode()
    return DeadLetter(why, row.project_id, 1, content)


def of_entry(entry_id: bytes, fields: dict[bytes, bytes], why: str) -> DeadLetter:
    """A dead letter for an entry that could not be read, with what it tells of itself."""
    project, count = _whose(fields.get(HEADER, b""))
    about = {b"entry": entry_id, b"project": project.encode(), b"count": b"%d" % count}
    kept = {_escaped(name): value for name, value in fields.items()}
    return DeadLetter(why, project, count, {**kept, **about})


def _escaped(name: bytes) -> bytes:
    return ESCAPE + name if name in OURS or name.startswith(ESCAPE) else name


def _whose(header: bytes) -> tuple[str, int]:
    """(project, events) of an entry's header, as far as it can be made out."""
    parts = header.split(b"|")
    if len(parts) < 7 or not (parts[6].isdigit() and len(parts[6]) <= COUNT_DIGITS_MAX):
        return UNKNOWN, 1
    project = parts[1].decode(errors="replace")
    return (project, int(parts[6])) if PROJECT(project) else (UNKNOWN, 1)


def row_of(fields: dict[bytes, bytes]) -> Row | None:
    """The event of a dead letter; None if it holds an entry that could not be read.

    Raises Refused if the fields are no dead letter of this version.
    """
    if fields.get(b"v") != VERSION:
        raise Refused(f"this is no dead letter of version {VERSION.decode()}")
    if fields.keys() <= NO_CONTENT:
        raise Refused("the dead letter holds nothing")
    try:
        return _row(fields) if b"payload" in fields else None
    except (KeyError, ValueError) as error:
        raise Refused(f"the dead letter cannot be read: {error}") from None


def _row(fields: dict[bytes, bytes]) -> Row:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    occurred = text["occurredMs"]
    return Row(
        project_id=text["project"],
        event_id=text["eventId"],
        session_id=text["session"],
        event=text["event"],
        payload=text["payload"],
        occurred_ms=int(occurred) if occurred else None,
        received_ms=int(text["receivedMs"]),
        source=text.get("source"),
    )


def events_of(fields: dict[bytes, bytes]) -> int:
    """How many events a dead letter holds."""
    count = fields.get(b"count", b"1")
    return int(count) if count.isdigit() and len(count) <= COUNT_DIGITS_MAX else 1


def to_replay(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The fields of the stream entry that makes the worker try a dead letter again.

    An event keeps its id, session, times, source and payload; an entry goes back as it was. Raises
    Refused as `row_of` does.
    """
    row = row_of(fields)
    if row is None:
        kept = {name: value for name, value in fields.items() if name not in OURS}
        return {name.removeprefix(ESCAPE): value for name, value in kept.items()}
    body = event_text(
        row.event_id,
        row.event,
        row.payload,
        timestamp=None if row.occurred_ms is None else row.occurred_ms / 1000,
        source=row.source,
    )
    entry = Entry(
        project=row.project_id,
        session=row.session_id,
        received_ms=row.received_ms,
        form=Form.SINGLE if row.source is None else Form.ENVELOPE,
        encoding=Encoding.IDENTITY,
        count=1,
        timestamp_s=row.received_ms // 1000,
        mac=bytes(32),  # no id is derived from it, since the event has one
        body=body,
    )
    return {HEADER: encode_header(entry), BODY: entry.body}
