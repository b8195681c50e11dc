"""Being done with entries: dead letters kept, ledger counted, acknowledged and deleted, in one
step of the server's.

Requirements  A crash at any point, a second worker with the same entries, a dead letter that cannot
              be written, a server out of memory: an entry is counted once, and is gone only when
              all of its events are somewhere.
Solution      A script, since it stops at the first error (a MULTI would go on, and acknowledge an
              event whose dead letter could not be written). Only what is still in the stream is
              counted: the deletion is what makes an entry done. It may use memory beyond the
              server's bound, since it is what frees memory.
Cost          Some 2 us of the server's time per entry.
"""

from collections import defaultdict
from typing import Any

from redis.asyncio import Redis

from core.dead_letter import DeadLetter
from core.partitions import GROUP, dead_letter_key, ledger_key, stream_key
from worker.batch import Outcome

FULL = "DEADFULL"  # the error, if the dead letters are at their bound
# KEYS: stream, dead letters, ledger.
# ARGV: group | consumer | bound of the dead letters | number of entries, projects, letters
#     | entry ids | of each entry "project:stored:dead", the project by its place in what follows
#     | projects: name, events stored, events dead, entries
#     | letters: place of the entry, number of arguments, name, value, …
SETTLE = """#!lua flags=allow-oom
local stream, dead, ledger = KEYS[1], KEYS[2], KEYS[3]
local entries, projects, letters = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local ids, specs, sums = 6, 6 + entries, 6 + 2 * entries
if letters > 0 and redis.call('XLEN', dead) + letters > tonumber(ARGV[3]) then
    return redis.error_reply('DEADFULL the dead letters are full')
end

local function call_with_ids(command, before, after)
    local answers = {}
    for first = 1, entries, 1000 do
        local call = {command, stream}
        for _, part in ipairs(before) do call[#call + 1] = part end
        for at = first, math.min(first + 999, entries) do call[#call + 1] = ARGV[ids + at] end
        for _, part in ipairs(after) do call[#call + 1] = part end
        answers[#answers + 1] = redis.call(unpack(call))
    end
    return answers
end

local live, alive = {}, 0  -- FORCE: in the stream counts, not who it was delivered to
for _, found in ipairs(call_with_ids('XCLAIM', {ARGV[1], ARGV[2], 0}, {'FORCE', 'JUSTID'})) do
    for _, id in ipairs(found) do live[id] = true; alive = alive + 1 end
end

local at = sums + 4 * projects + 1
for _ = 1, letters do
    local last = at + 1 + tonumber(ARGV[at + 1])
    if live[ARGV[ids + tonumber(ARGV[at])]] then
        redis.call('XADD', dead, '*', unpack(ARGV, at + 2, last))
    end
    at = last + 1
end

local count = {}
for place = 1, projects do
    local first = sums + 4 * (place - 1) + 1
    count[place] = {ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]}
    if alive < entries then count[place] = {ARGV[first], 0, 0, 0} end
end
if alive < entries then
    for entry = 1, entries do
        if live[ARGV[ids + entry]] then
            local place, stored, gone = ARGV[specs + entry]:match('(%d+):(%d+):(%d+)')
            local sum = count[tonumber(place)]
            sum[2], sum[3], sum[4] = sum[2] + stored, sum[3] + gone, sum[4] + 1
        end
    end
end
local function add(name, amount)
    if tonumber(amount) ~= 0 then redis.call('HINCRBY', ledger, name, amount) end
end
local function outstanding(project)
    local name = project .. '|'
    local counts = redis.call('HMGET', ledger, name .. 'a', name .. 's', name .. 'd', name .. 'p',
        name .. 'w')
    local left = tonumber(counts[1] or 0)
    for at = 2, 5 do left = left - tonumber(counts[at] or 0) end
    return left
end
for _, sum in ipairs(count) do
    if sum[1] == '?' then  -- no gateway has appended these; a replay has counted what it put back
        local new = math.max(sum[3] - math.max(outstanding('?'), 0), 0)
        add('?|a', new)
        add('|a', new)
    end
    add(sum[1] .. '|s', sum[2])
    add(sum[1] .. '|d', sum[3])
end
add('|s', alive)
call_with_ids('XACK', {ARGV[1]}, {})
call_with_ids('XDEL', {}, {})
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
        projects: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for outcome in outcomes:
            sums = projects[outcome.project]
            sums[0] += outcome.stored
            sums[1] += outcome.dead
            sums[2] += 1
        places = {project: place for place, project in enumerate(projects, 1)}
        arguments: list[Any] = [*self._head, len(outcomes), len(projects), len(letters)]
        arguments += [outcome.entry_id for outcome in outcomes]
        arguments += [f"{places[o.project]}:{o.stored}:{o.dead}" for o in outcomes]
        for project, sums in projects.items():
            arguments += [project, *sums]
        for at, letter in letters:
            fields = [part for pair in letter.fields().items() for part in pair]
            arguments += [at + 1, len(fields), *fields]
        return int(await self._script(keys=self._keys, args=arguments))
