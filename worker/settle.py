"""Being done with entries: dead letters kept, ledger counted, acknowledged and deleted, in one
step of the server's.

Requirements  A crash at any point, a second worker with the same entries, a dead letter that cannot
              be written, a server out of memory: an entry is counted once, and is gone only when
              all of its events are somewhere.
Solution      A script, since it stops at the first error (a MULTI would go on, and acknowledge an
              event whose dead letter could not be written). Only what is still in the stream is
              counted: the deletion is what makes an entry done, and says how many were there.
              Entries whose counts are alike are deleted by one command, so nothing is looked at one
              by one but entries with dead letters. It may use memory beyond the server's bound,
              since it is what frees memory.
Cost          Some 4 us of the server's time per entry, its append-only file included.
"""

from collections import defaultdict
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from core.dead_letter import DeadLetter
from core.partitions import GROUP, dead_letter_key, ledger_key, stream_key
from worker.batch import Outcome

FULL = "DEADFULL"  # the error, if the dead letters are at their bound
# KEYS: stream, dead letters, ledger.
# ARGV: group | consumer | bound of the dead letters | number of groups, letters
#     | entry ids, group by group, as a JSON array: one argument, since each is packed by the client
#     | groups, alike in project and counts: name, events stored and dead of each entry, number of
#       entries
#     | letters: place of the entry among the ids, number of arguments, name, value, …
# What is counted before the deletion can fail with nothing done; after it, it is corrected.
SETTLE = """#!lua flags=allow-oom
local stream, dead, ledger = KEYS[1], KEYS[2], KEYS[3]
local groups, letters = tonumber(ARGV[4]), tonumber(ARGV[5])
local ids = cjson.decode(ARGV[6])
if letters > 0 and redis.call('XLEN', dead) + letters > tonumber(ARGV[3]) then
    return redis.error_reply('DEADFULL the dead letters are full')
end
-- FORCE: in the stream counts, not who it was delivered to. Fails if there is no group.
local function is_live(id)
    return #redis.call('XCLAIM', stream, ARGV[1], ARGV[2], 0, id, 'FORCE', 'JUSTID') > 0
end
is_live(ids[1])

local entries, first = 0, {}
for group = 1, groups do
    first[group] = entries + 1
    entries = entries + tonumber(ARGV[6 + 4 * group])
end
local at = 7 + 4 * groups
for _ = 1, letters do
    local last = at + 1 + tonumber(ARGV[at + 1])
    if is_live(ids[tonumber(ARGV[at])]) then
        redis.call('XADD', dead, '*', unpack(ARGV, at + 2, last))
    end
    at = last + 1
end

local function add(name, amount)
    if amount ~= 0 then redis.call('HINCRBY', ledger, name, amount) end
end
local function outstanding(project)
    local name = project .. '|'
    local counts = redis.call('HMGET', ledger, name .. 'a', name .. 's', name .. 'd', name .. 'p',
        name .. 'w')
    local left = tonumber(counts[1] or 0)
    for at = 2, 5 do left = left - tonumber(counts[at] or 0) end
    return left
end
local function delete(from, to)
    local deleted = 0
    for at = from, to, 4000 do
        local last = math.min(at + 3999, to)
        redis.call('XACK', stream, ARGV[1], unpack(ids, at, last))
        deleted = deleted + redis.call('XDEL', stream, unpack(ids, at, last))
    end
    return deleted
end
local alive = 0
add('|s', entries)
for group = 1, groups do
    local spec = 2 + 4 * group
    local project, number = ARGV[spec + 1], tonumber(ARGV[spec + 4])
    local stored, gone = tonumber(ARGV[spec + 2]), tonumber(ARGV[spec + 3])
    add(project .. '|s', stored * number)
    add(project .. '|d', gone * number)
    local deleted = delete(first[group], first[group] + number - 1)
    local missing = number - deleted
    add(project .. '|s', -stored * missing)
    add(project .. '|d', -gone * missing)
    alive = alive + deleted
    if project == '?' then  -- no gateway has appended these; a replay has counted what it put back
        local before = outstanding('?') + (stored + gone) * deleted
        local new = math.max(gone * deleted - math.max(before, 0), 0)
        add('?|a', new)
        add('|a', new)
    end
end
add('|s', alive - entries)
return alive
"""


class Settler:
    """Settles the entries of one partition. Calls raise RedisError, with nothing done then."""

    def __init__(self, queue: Redis, partition: int, *, name: str, dead_letters_max: int) -> None:
        self._script = queue.register_script(SETTLE)
        self._keys = [stream_key(partition), dead_letter_key(partition), ledger_key(partition)]
        self._head = (GROUP, name, dead_letters_max)

    async def settle(self, outcomes: list[Outcome], letters: list[tuple[int, DeadLetter]]) -> int:
        """Be done with these entries; returns how many of them were still in the stream.

        letters: with the index of the entry that each belongs to.
        """
        groups: dict[tuple[str, int, int], list[int]] = defaultdict(list)
        for at, (_, project, stored, dead) in enumerate(outcomes):
            groups[project, stored, dead].append(at)
        order = list(chain.from_iterable(groups.values()))
        ids = b'["' + b'","'.join([outcomes[at].entry_id for at in order]) + b'"]'
        arguments: list[Any] = [*self._head, len(groups), len(letters), ids]
        for alike, members in groups.items():
            arguments += [*alike, len(members)]
        place = dict(zip(order, range(1, len(order) + 1), strict=True)) if letters else {}
        for at, letter in letters:
            fields = [part for pair in letter.fields().items() for part in pair]
            arguments += [place[at], len(fields), *fields]
        return int(await self._script(keys=self._keys, args=arguments))
