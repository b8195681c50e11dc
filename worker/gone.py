"""Consumers that are gone: each name that ever read is kept by the group until it is removed.

Where each start of a worker has a name of its own, as in containers, the list would grow for ever.
"""

from redis.asyncio import Redis

from core.partitions import GROUP
from runtime.log import get_log

log = get_log()
# A consumer reads twice a second as long as its worker lives; Redis before 7.2 counts only reads
# that found something. One removed too early is made again by its next read, and had nothing in
# hand.
IDLE_S_MIN = 3_600
CLAIMS = 10  # times the idle time after which its entries are taken over
# KEYS: stream. ARGV: group | our own name | idle ms. Returns the names removed. In one step: a
# consumer that has read since it was looked at would lose the hold on what it has in hand.
REMOVE = """
local removed = {}
for _, about in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for at = 1, #about, 2 do consumer[about[at]] = about[at + 1] end
    if consumer.pending == 0 and consumer.idle > tonumber(ARGV[3]) and consumer.name ~= ARGV[2] then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
        removed[#removed + 1] = consumer.name
    end
end
return removed
"""


async def remove_gone(queue: Redis, stream: str, name: str, claim_idle_s: int) -> list[bytes]:
    """Remove consumers that have read nothing for long and have nothing pending; their names.

    name: of this worker, which stays. claim_idle_s: after which entries are taken over. Raises
    RedisError.
    """
    idle_ms = max(IDLE_S_MIN, CLAIMS * claim_idle_s) * 1000
    script = queue.register_script(REMOVE)
    removed: list[bytes] = await script(keys=[stream], args=[GROUP, name, idle_ms])
    if removed:
        names = [gone.decode(errors="replace") for gone in removed]
        log.info("consumers removed that are gone", stream=stream, names=names)
    return removed
