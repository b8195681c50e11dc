"""The ledger in the queue, as every process reads it and keeps it honest; see core/ledger.py.

Requirements  A queue that has been emptied, or has come back without its last writes, must not take
              its ledger along: then nothing would seem to be missing.
Solution      Counts only grow, so whoever has seen a higher one raises it again: gateways what was
              appended, from memory, at each connect; workers all counts, from the copy in the
              store, where the ledger's id tells that the queue is another one.
Cost          A queue that came back without its last second delivers again what was stored already;
              that is settled twice, and a loss of that second shows only as far as it was larger.
"""

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from core.codec import decode
from core.errors import Refused
from core.ledger import (
    ENTRIES,
    SETTLED,
    UNKNOWN,
    WRITTEN_OFF,
    Book,
    Totals,
    account,
    field,
    parse,
)
from core.partitions import ledger_key, partition_of, stream_key

SCAN_PAGE = 500
SCAN_ENTRIES_MAX = 100_000  # of a stream that is out of balance; a longer one is not counted
# KEYS: ledger. ARGV: an id, in case there is none | the id that is known, or "" | field, count, …
# that somebody has seen of that one. Returns the id, and by how much fields were raised, in order.
# What was appended to another ledger is told apart, since this one may count already. It runs on a
# server out of memory, too: draining waits for it, and is what frees memory.
OPEN = """#!lua flags=allow-oom
local ledger = KEYS[1]
local function count(name) return tonumber(redis.call('HGET', ledger, name) or 0) end
if redis.call('HSETNX', ledger, 'id', ARGV[1]) == 1 then redis.call('HSET', ledger, 'before', 0) end
local answer = {redis.call('HGET', ledger, 'id')}
for at = 3, #ARGV, 2 do
    local name, now = ARGV[at], count(ARGV[at])
    if name:sub(-2) == '|a' then
        local before = name:sub(1, -2) .. 'b'
        if answer[1] == ARGV[2] then
            now = now + count(before)
            if count(before) > 0 then redis.call('HSET', ledger, 'before', 1) end
        else
            name, now = before, count(before)
        end
    end
    local by = math.max(tonumber(ARGV[at + 1]) - now, 0)
    if by > 0 then redis.call('HINCRBY', ledger, name, by) end
    if by > 0 and name:sub(-2) == '|b' then redis.call('HSET', ledger, 'before', 1) end
    answer[#answer + 1] = by
end
return answer
"""

# KEYS: ledger, stream. A transaction would be refused by Redis 7.0 when it is out of memory.
READ = """#!lua flags=no-writes
return {redis.call('HGETALL', KEYS[1]), redis.call('XLEN', KEYS[2])}
"""


# KEYS: ledger, stream. ARGV: entries missing, as they were | field, amount, … Returns 1, or 0 if
# something else is missing now.
WRITE_OFF = """#!lua flags=allow-oom
local function count(name) return tonumber(redis.call('HGET', KEYS[1], name) or 0) end
local missing = count('|a') + count('|b') - count('|s') - redis.call('XLEN', KEYS[2])
if missing ~= tonumber(ARGV[1]) then return 0 end
for at = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) end
return 1
"""


def opening(partition: int, seen: Mapping[str, int], known_id: str = "") -> list[Any]:
    """The arguments of the EVAL that opens a partition's ledger and raises what is under `seen`.

    seen: counts by hash field, as they were in the ledger with `known_id`.
    """
    pairs = [part for item in seen.items() for part in item]
    return ["EVAL", OPEN, 1, ledger_key(partition), os.urandom(16).hex(), known_id, *pairs]


async def read_book(queue: Redis, partition: int) -> Book:
    """A partition's ledger and the length of its stream, at one moment. Raises RedisError."""
    keys = ledger_key(partition), stream_key(partition)
    pairs, length = await queue.eval(READ, 2, *keys)
    return parse(dict(zip(pairs[::2], pairs[1::2], strict=True)), length)


async def count_stream(queue: Redis, partition: int) -> Counter[str] | None:
    """Events in a partition's stream by project; None if it is too long to be counted."""
    found, after = Counter[str](), "-"
    for _ in range(SCAN_ENTRIES_MAX // SCAN_PAGE):
        page: Any = await queue.xrange(stream_key(partition), min=after, count=SCAN_PAGE)
        for _, fields in page:
            try:
                entry = decode(fields)
            except Refused:
                found[UNKNOWN] += 1
            else:
                found[entry.project] += entry.count
        if len(page) < SCAN_PAGE:
            return found
        after = "(" + page[-1][0].decode()
    return None


async def in_flight(queue: Redis, project_id: str, *, partitions: int) -> int:
    """Events of a project that were appended and are not settled: 0 only if all of them are done
    with, so that those that were to be stored are. Raises RedisError."""
    partition = partition_of(project_id, partitions)
    book = await read_book(queue, partition)
    outstanding = max(0, book.projects.get(project_id, Totals()).outstanding)
    if not (book.missing and outstanding):
        return outstanding
    in_stream = await count_stream(queue, partition)  # the others are lost
    return outstanding if in_stream is None else in_stream[project_id]


async def losses(queue: Redis, partition: int, stored: Mapping[str, int]) -> Counter[str] | None:
    """Events by project that were accepted and are nowhere; None if that cannot be told now.

    stored: rows that the store has taken, by project. While events flow, what was accepted before
    the stream is counted is compared with what is done with afterwards: never too many are lost.
    """
    before = await read_book(queue, partition)
    if not before.missing:
        return Counter()
    in_stream = await count_stream(queue, partition)
    if in_stream is None:
        return None
    after = await read_book(queue, partition)
    found = Counter[str]()
    for project, totals in after.projects.items():
        accepted = before.projects.get(project, Totals()).accepted
        still = totals._replace(accepted=accepted)
        lost = account(still, stored=stored.get(project, 0), in_stream=in_stream[project]).lost
        flows = totals != before.projects.get(project)
        found[project] = max(lost, 0) if flows else lost
    return found


async def write_off(queue: Redis, partition: int, lost: Mapping[str, int], missing: int) -> bool:
    """Accept a loss: from now on the ledger is in balance without these events.

    missing: entries that were missing when `lost` was found. False, and nothing done, if others
    are by now.
    """
    keys = (ledger_key(partition), stream_key(partition))
    amounts = {field(project, WRITTEN_OFF): events for project, events in lost.items()}
    amounts[field(ENTRIES, SETTLED)] = missing
    pairs = [part for item in amounts.items() for part in item]
    return bool(await queue.eval(WRITE_OFF, 2, *keys, missing, *pairs))


def as_fields(project: str, totals: Totals) -> dict[str, int]:
    """A project's counts by hash field."""
    names = ("a", "s", "d", "p", "w")
    return {field(project, name): count for name, count in zip(names, totals, strict=True)}
