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
from core.partitions import GROUP

VERSION = b"1"
WHY_MAX = 500
# A script, since it stops at the first error; a MULTI would go on, and acknowledge an event whose
# dead letter could not be written. KEYS: stream, dead letters.
# ARGV: group | number of letters | of each: how many arguments, name, value, … | entry ids
BURY = """
local at = 3
for _ = 1, tonumber(ARGV[2]) do
    local last = at + tonumber(ARGV[at])
    redis.call('XADD', KEYS[2], '*', unpack(ARGV, at + 1, last))
    at = last + 1
end
for index = at, #ARGV do
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[index])
    redis.call('XDEL', KEYS[1], ARGV[index])
end
"""


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


def bury(
    stream: str, dead: str, entry_ids: list[bytes], letters: list[DeadLetter]
) -> tuple[str | bytes | int, ...]:
    """The arguments of the EVAL that keeps the letters and then is done with the entries."""
    arguments: list[str | bytes | int] = [BURY, 2, stream, dead, GROUP, len(letters)]
    for letter in letters:
        fields = [part for pair in letter.fields().items() for part in pair]
        arguments += [len(fields), *fields]
    return (*arguments, *entry_ids)
