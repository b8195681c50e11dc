"""Dead letters for people: listed, looked at, tried again, given up; the format is
core/dead_letter.py.

Requirements  Whatever crashes, and whoever asks for the same at the same time, a letter is put back
              once or not at all, and the ledger (core/ledger.py) stays in balance.
Solution      One script per letter: only where the letter is still there, the entry goes into the
              stream, the letter leaves, and the ledger moves with them. An event that was stored
              meanwhile is a duplicate then, as after any other retry. Both scripts may use memory
              beyond the server's bound: what they leave behind is no larger than what they found,
              and dead letters may be what has filled it.
Cost          A letter travels to whoever replays it and back.
"""

import heapq
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from core.dead_letter import events_of, row_of, to_replay
from core.errors import Refused
from core.event import Row, rfc_3339
from core.ledger import DEAD, PURGED, UNKNOWN, field
from core.partitions import dead_letter_key, ledger_key, stream_key

READ_LETTERS = 50  # at once; each may be as large as a body
SCAN_LETTERS_MAX = 2_000  # looked at for one page
ID_TEXT = r"(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})"
ID = re.compile(ID_TEXT).fullmatch
# KEYS: dead letters, stream, ledger.
# ARGV: id | the project's field of dead letters | events | name, value, … of the entry
# The append comes first: if the stream cannot take it, nothing has been done.
REPLAY = """#!lua flags=allow-oom
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))
redis.call('HINCRBY', KEYS[3], ARGV[2], -ARGV[3])
redis.call('HINCRBY', KEYS[3], '|a', 1)
return redis.call('XDEL', KEYS[1], ARGV[1])
"""
# KEYS: dead letters, ledger. ARGV: id | the project's fields of dead letters, of purged | events
PURGE = """#!lua flags=allow-oom
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[4] ~= '0' then
    redis.call('HINCRBY', KEYS[2], ARGV[2], -ARGV[4])
    redis.call('HINCRBY', KEYS[2], ARGV[3], ARGV[4])
end
return 1
"""


class LetterId(NamedTuple):
    """Where a dead letter is: its partition, and its id in that partition's stream."""

    partition: int
    ms: int
    number: int

    @property
    def in_stream(self) -> str:
        """The id in the stream; its first part is when the letter was written, in Unix ms."""
        return f"{self.ms}-{self.number}"

    def __str__(self) -> str:
        return f"{self.partition}-{self.in_stream}"


class Letter(NamedTuple):
    """A dead letter as it was found."""

    id: LetterId
    fields: dict[bytes, bytes]
    project: str
    why: str
    events: int
    row: Row | None  # None: an entry that could not be read
    is_ours: bool = True  # False: something else lies there, that no worker has counted


class Letters(NamedTuple):
    """Dead letters newest first, and the cursor that continues after them; None at the end."""

    letters: list[Letter]
    cursor: str | None


class Outcome(Enum):
    """What has come of a letter that was to be replayed or purged."""

    DONE = "done"
    GONE = "gone"  # there is no such letter, or not any more
    NOT_OURS = "not ours"  # something else lies there; it can be purged


def parse_id(text: str) -> LetterId:
    """The id that `text` is. Raises ValueError if no letter can have it."""
    found = ID(text)
    if not found:
        raise ValueError("an id of a dead letter looks like 0-1732531234567-0")
    return LetterId(*map(int, found.groups()))


async def page(
    queue: Redis, partitions: int, *, project: str | None, limit: int, cursor: str | None = None
) -> Letters:
    """At most `limit` dead letters, of one project or of all; raises RedisError.

    Raises ValueError for a cursor that no page has given. Looks at a bounded number of letters, so
    a page may be short, or empty, and still have a cursor.
    """
    after = None if cursor is None else parse_id(cursor)
    found: list[Letter] = []
    if after is not None and after.in_stream == "0-0":  # nothing is older; servers refuse to look
        return Letters(found, None)
    looked_at = 0
    async with aclosing(_newest_first(queue, partitions, after)) as letters:
        async for letter in letters:
            if len(found) == limit or looked_at == SCAN_LETTERS_MAX:
                return Letters(found, str(after))
            looked_at, after = looked_at + 1, letter.id
            if project in (None, letter.project):
                found.append(letter)
    return Letters(found, None)


async def _newest_first(
    queue: Redis, partitions: int, after: LetterId | None
) -> AsyncGenerator[Letter]:
    """The letters of all partitions merged, read a few of each at a time."""
    count = max(1, READ_LETTERS // partitions)
    ends = {partition: _end(partition, after) for partition in range(partitions)}
    heap: list[tuple[int, int, int, int]] = []  # of each partition the newest, first of all
    read: dict[int, list[Letter]] = {}
    empty = list(ends)
    while True:
        async with queue.pipeline(transaction=False) as pipe:
            for partition in empty:
                pipe.xrevrange(dead_letter_key(partition), max=ends[partition], count=count)
            replies = await pipe.execute()
        for partition, reply in zip(empty, replies, strict=True):
            if reply:
                read[partition] = [letter_of(partition, *entry) for entry in reversed(reply)]
                ends[partition] = "(" + read[partition][0].id.in_stream
                heapq.heappush(heap, _order(read[partition][-1].id))
        empty = []
        while heap and not empty:
            *_, partition = heapq.heappop(heap)
            yield read[partition].pop()
            if read[partition]:
                heapq.heappush(heap, _order(read[partition][-1].id))
            else:
                empty.append(partition)
        if not empty:
            return


def _order(letter_id: LetterId) -> tuple[int, int, int, int]:
    """Sorts the newest first; of equally new ones, the lowest partition."""
    partition, ms, number = letter_id
    return -ms, -number, partition, partition


def _end(partition: int, after: LetterId | None) -> str:
    """The end of a partition's part of the list that goes on after a letter."""
    if after is None:
        return "+"
    return after.in_stream if partition > after.partition else "(" + after.in_stream


async def find(queue: Redis, letter_id: LetterId) -> Letter | None:
    """The letter, if it is there. Raises RedisError."""
    (found,) = await _read(queue, [letter_id])
    return found


async def all_ids(queue: Redis, partitions: int, *, project: str | None) -> list[LetterId]:
    """The ids of all letters, or of one project's, in each partition the oldest first."""
    found: list[LetterId] = []
    for partition in range(partitions):
        after = "-"
        while True:
            key = dead_letter_key(partition)
            reply: Any = await queue.xrange(key, min=after, count=READ_LETTERS)
            letters = [letter_of(partition, *entry) for entry in reply]
            found += [letter.id for letter in letters if project in (None, letter.project)]
            if len(letters) < READ_LETTERS:
                break
            after = "(" + letters[-1].id.in_stream
    return found


async def replay(queue: Redis, letter_ids: Sequence[LetterId]) -> list[Outcome]:
    """Put what the letters hold back into the stream, for the worker to try again, in this order.

    Raises RedisError; then some may have been put back, and asking again does the rest.
    """
    outcomes: list[Outcome] = []
    for first in range(0, len(letter_ids), READ_LETTERS):
        letters = await _read(queue, letter_ids[first : first + READ_LETTERS])
        calls = [_replaying(letter) if letter and letter.is_ours else None for letter in letters]
        answers = iter(await _run(queue, REPLAY, 3, [call for call in calls if call]))
        outcomes += [
            (Outcome.DONE if next(answers) else Outcome.GONE)
            if call
            else Outcome.NOT_OURS
            if letter
            else Outcome.GONE
            for letter, call in zip(letters, calls, strict=True)
        ]
    return outcomes


async def purge(queue: Redis, letter_ids: Sequence[LetterId]) -> list[Outcome]:
    """Delete letters for ever. Raises RedisError as `replay` does."""
    outcomes: list[Outcome] = []
    for first in range(0, len(letter_ids), READ_LETTERS):
        letters = await _read(queue, letter_ids[first : first + READ_LETTERS])
        calls = [_purging(letter) for letter in letters if letter]
        answers = iter(await _run(queue, PURGE, 2, calls))
        outcomes += [
            Outcome.DONE if letter and next(answers) else Outcome.GONE for letter in letters
        ]
    return outcomes


def _replaying(letter: Letter) -> list[Any]:
    """Keys and arguments of a letter's replay."""
    partition = letter.id.partition
    entry = [part for pair in to_replay(letter.fields).items() for part in pair]
    keys = (dead_letter_key(partition), stream_key(partition), ledger_key(partition))
    return [*keys, letter.id.in_stream, field(letter.project, DEAD), letter.events, *entry]


def _purging(letter: Letter) -> list[Any]:
    """Keys and arguments of a letter's purge."""
    keys = (dead_letter_key(letter.id.partition), ledger_key(letter.id.partition))
    counts = (field(letter.project, DEAD), field(letter.project, PURGED))
    return [*keys, letter.id.in_stream, *counts, letter.events]


async def _run(queue: Redis, script: str, keys: int, calls: list[list[Any]]) -> list[int]:
    """Run a script once for each call, in one round trip."""
    async with queue.pipeline(transaction=False) as pipe:
        for call in calls:
            pipe.eval(script, keys, *call)
        answers: list[int] = await pipe.execute()
    return answers


async def _read(queue: Redis, letter_ids: Sequence[LetterId]) -> list[Letter | None]:
    async with queue.pipeline(transaction=False) as pipe:
        for each in letter_ids:
            pipe.xrange(dead_letter_key(each.partition), min=each.in_stream, max=each.in_stream)
        replies = await pipe.execute()
    return [
        letter_of(each.partition, *reply[0]) if reply else None
        for each, reply in zip(letter_ids, replies, strict=True)
    ]


def letter_of(partition: int, entry_id: bytes, fields: dict[bytes, bytes]) -> Letter:
    """The letter that an entry of a partition's dead letters is."""
    ms, _, number = entry_id.decode().partition("-")
    identity = LetterId(partition, int(ms), int(number))
    project = fields.get(b"project", UNKNOWN.encode()).decode(errors="replace")
    why = fields.get(b"why", b"").decode(errors="replace")
    try:
        row = row_of(fields)
    except Refused as error:
        return Letter(identity, fields, project, error.why, 0, None, is_ours=False)
    return Letter(identity, fields, project, why, events_of(fields), row)


def public(letter: Letter) -> dict[str, Any]:
    """A letter as the API and the command line show it, for orjson; see docs/PROTOCOL.md."""
    row = letter.row
    return {
        "id": str(letter.id),
        "projectId": letter.project,
        "eventId": row and row.event_id,
        "event": row and row.event,
        "sessionId": row and row.session_id,
        "why": letter.why,
        "receivedAt": row and rfc_3339(row.received_ms),
        "timestamp": row and rfc_3339(row.occurred_ms),
        "payload": row and orjson.Fragment(row.payload),
        "events": letter.events,
        "unreadable": row is None,
    }
