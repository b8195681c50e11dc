"""What the store will not take is kept beside the stream, with the reason, until someone decides.

    ingest:{n}:dead := v | why | entry | project | session | eventId | event | occurredMs |
    receivedMs
                       | payload                       an event that the store refused
                     | v | why | entry | h | b         an entry that could not be read, as it was

`v` is "1", `entry` the id in the stream ingest:{n}, `why` one line for a person; `occurredMs` is
empty if the event gave no time.
"""

from typing import NamedTuple

from core.event import Row

VERSION = b"1"
WHY_MAX = 500


class DeadLetter(NamedTuple):
    """One event, or one entry that could not be read."""

    why: str
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
    return DeadLetter(why, content)


def of_entry(entry_id: bytes, fields: dict[bytes, bytes], why: str) -> DeadLetter:
    """A dead letter for an entry that could not be read."""
    return DeadLetter(why, {b"entry": entry_id, **fields})
