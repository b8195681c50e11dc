"""The dead letter of an event, found among all of its partition's.

There is no index of them, since each letter would pay for it; the server looks through a few at a
time, so that neither their payloads travel nor others wait for long.
"""

from typing import Any

from redis.asyncio import Redis

from core.partitions import dead_letter_key, partition_of
from runtime.dead_letters import Letter, letter_of

LOOKED_AT = 100  # letters in one call; each may be as large as a body
# KEYS: dead letters. ARGV: where to begin | project | event's id | letters to look at
# Returns {1, id} if it is there; {0, the last that was looked at}; or {} if there are no more.
SEARCH = """#!lua flags=no-writes
local entries = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[4])
for _, entry in ipairs(entries) do
    local found = 0
    for at = 1, #entry[2], 2 do
        local name, value = entry[2][at], entry[2][at + 1]
        if name == 'project' and value == ARGV[2] then found = found + 1 end
        if name == 'eventId' and value == ARGV[3] then found = found + 1 end
    end
    if found == 2 then return {1, entry[1]} end
end
if #entries == 0 then return {} end
return {0, entries[#entries][1]}
"""


async def letter_of_event(
    queue: Redis, partitions: int, *, project: str, event_id: str
) -> Letter | None:
    """The newest dead letter of an event, if it has one. Raises RedisError."""
    partition = partition_of(project, partitions)
    key, begin = dead_letter_key(partition), "+"
    while True:
        reply: Any = await queue.eval(SEARCH, 1, key, begin, project, event_id, LOOKED_AT)
        if not reply:
            return None
        is_it, entry_id = reply
        if is_it:
            found: Any = await queue.xrange(key, min=entry_id, max=entry_id)
            return letter_of(partition, *found[0]) if found else None
        begin = "(" + entry_id.decode()
