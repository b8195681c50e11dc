"""Group commit: what gathers while one group is being acknowledged is the next group's write.

Requirements  A request is answered only when the queue has its entry at the promised tier; a sync
              of the disk must be shared by all that wait for it; each append is in the ledger, or
              neither is there; memory is bounded.
Solution      One connection, one group in flight. A group is one script call per partition, whose
              single reply stands for all of its entries; behind it goes the tier's own question
              (gateway/tier.py). The server runs a script as a whole or not at all, so a connection
              that breaks in the middle of a group leaves nothing half done.
Cost          A lost connection leaves a group's outcome unknown: its requests are answered 503, and
              sending them again is harmless, since events have identities.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import OutOfMemoryError, ResponseError

from core.codec import Entry, encode_header
from core.errors import Reason, Unavailable
from core.ledger import ACCEPTED, ENTRIES, field
from core.metrics import Meter, Metric
from core.partitions import ledger_key, partition_of, stream_key
from core.settings import Settings
from gateway.resp import bulk, command
from gateway.tier import Tier, TierError, find_tier
from gateway.witness import Witness
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()
PING_S = 1.0  # an idle connection is tested this often, so that readiness tells the truth
CALL_ENTRIES_MAX = 1_000  # in one script call, during which the server does nothing else
# KEYS: stream, ledger. ARGV: id of the ledger | number of its fields | field, amount, … | header,
# body, … Returns the fields' new counts. Nothing goes into a queue that was emptied before it has
# been told what it held (gateway/witness.py). The appends come before the counts: if the stream
# cannot take them, the script ends there, and nothing has been counted.
APPEND = """
local ledger, fields = KEYS[2], tonumber(ARGV[2])
if redis.call('HGET', ledger, 'id') ~= ARGV[1] then
    return redis.error_reply('OTHERLEDGER the queue was emptied or replaced')
end
for at = 3 + 2 * fields, #ARGV, 2 do
    redis.call('XADD', KEYS[1], '*', 'h', ARGV[at], 'b', ARGV[at + 1])
end
local counts = {}
for at = 1, fields do
    local name = ARGV[2 * at + 1]
    local before = tonumber(redis.call('HGET', ledger, name:sub(1, -2) .. 'b') or 0)
    counts[at] = redis.call('HINCRBY', ledger, name, ARGV[2 * at + 2]) + before
end
return counts
"""
LOST = ResponseError("the connection was lost; the outcome is unknown")
APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


class _Append(NamedTuple):
    partition: int
    project: str
    events: int
    arguments: bytes  # header and body, as the script's arguments on the wire
    done: asyncio.Future[str]


class _Call(NamedTuple):
    """One script call: some appends of a partition, and the ledger fields that they count into."""

    partition: int
    appends: list[_Append]
    fields: list[str]
    packed: bytes


class Publisher:
    """The EventQueue port on Redis Streams. `run` must be running for appends to be taken."""

    def __init__(self, queue: Redis, settings: Settings, meter: Meter) -> None:
        self._queue = queue
        self._ack = settings.ack
        self._partitions = settings.partitions
        self._inflight_bytes_max = settings.inflight_bytes_max
        self._append_timeout_s = settings.append_timeout_s
        self._meter = meter
        self._witness = Witness(settings.partitions, meter)
        self._gathered: list[_Append] = []
        self._inflight_bytes = 0
        self._wake = asyncio.Event()
        self._throttle = Throttle(10)
        self.away = "The queue has not been reached yet"  # why appends are refused, or empty
        self.full = ""  # why the last append was refused, though the queue is there

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        if self.away:
            raise Unavailable(Reason.QUEUE_UNAVAILABLE)
        arguments = bulk(encode_header(entry)) + bulk(entry.body)
        if self._inflight_bytes + len(arguments) > self._inflight_bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        partition = partition_of(entry.project, self._partitions)
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._gathered.append(_Append(partition, entry.project, entry.count, arguments, done))
        self._inflight_bytes += len(arguments)
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Connect, commit group after group, reconnect; until cancelled."""
        backoff = Backoff()
        while True:
            connection = self._queue.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()
                tier = await self._prepare(connection)
                self._come_back(tier)
                while True:
                    await self._wait_for_work(connection)
                    await self._commit(connection, tier)
                    backoff.reset()
            except (*QUEUE_ERRORS, TierError) as error:
                self._go_away(error)
            finally:
                self._fail(self._gathered)  # nobody may be left waiting, cancelled or not
                self._gathered = []
                await connection.disconnect(nowait=True)
            await backoff.wait()

    async def _prepare(self, connection: AbstractConnection) -> Tier:
        """Before the first append: the tier, the script, and what the queue should still know."""
        async with asyncio.timeout(self._append_timeout_s):
            tier = await find_tier(connection, self._ack, self._append_timeout_s)
            await connection.send_command("SCRIPT", "LOAD", APPEND)
            await connection.read_response()
            await self._witness.testify(connection)
        return tier

    async def _wait_for_work(self, connection: AbstractConnection) -> None:
        """Return when something has gathered; tests the connection while nothing does."""
        while not self._gathered:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), PING_S)
            except TimeoutError:
                async with asyncio.timeout(self._append_timeout_s):
                    await connection.send_command("PING")
                    await connection.read_response()
                self.full = ""  # it may have been drained; who comes next will tell

    async def _commit(self, connection: AbstractConnection, tier: Tier) -> None:
        """Write what has gathered and answer it. Raises if the connection is of no more use."""
        group, self._gathered = self._gathered, []
        calls = list(_calls(group, self._witness.ids))
        trailer = command(*tier.trailer) if tier.trailer else b""
        try:
            async with asyncio.timeout(self._append_timeout_s):
                packed = b"".join([call.packed for call in calls]) + trailer
                await connection.send_packed_command(packed, check_health=False)
                replies = [await _reply(connection) for _ in calls]
                reached = not trailer or tier.reached(await connection.read_response())
        except BaseException:  # cancelled too: nobody may be left waiting
            self._fail(group)
            raise
        if not reached:
            self._fail(group, ResponseError(f"the tier {self._ack} was not reached in time"))
            raise TierError(
                f"CONTOX_ACK={self._ack} was not reached; the server's settings or"
                " replicas have changed, or its disk is too slow."
            )
        for call, reply in zip(calls, replies, strict=True):
            self._answer(call, reply, tier)
        errors = [reply for reply in replies if isinstance(reply, ResponseError)]
        full = [error for error in errors if isinstance(error, OutOfMemoryError)]
        self.full = "The queue is out of memory" if full else ""
        if len(errors) > len(full):  # read-only, no disk, no permission: perhaps not so elsewhere
            raise errors[0]

    def _answer(self, call: _Call, reply: Any, tier: Tier) -> None:
        """Answer the requests of one call; they may have gone meanwhile."""
        if isinstance(reply, ResponseError):
            self._fail(call.appends, reply)
            return
        self._witness.saw(call.partition, call.fields, reply)
        for append in call.appends:
            self._inflight_bytes -= len(append.arguments)
            if not append.done.done():
                append.done.set_result(tier.name)
        self._meter.set(Metric.INFLIGHT_BYTES, self._inflight_bytes)

    def _fail(self, group: list[_Append], error: ResponseError = LOST) -> None:
        """Refuse a group: nothing of it is acknowledged."""
        if not group:
            return
        reason = (
            Reason.BACKLOG_FULL if isinstance(error, OutOfMemoryError) else Reason.QUEUE_UNAVAILABLE
        )
        if (held_back := self._throttle.held_back(reason.code)) is not None:
            log.error("appends refused", error=str(error), held_back=held_back)
        self._meter.add(Metric.APPEND_FAILURES, len(group), reason.code)
        for append in group:
            self._inflight_bytes -= len(append.arguments)
            if not append.done.done():
                append.done.set_exception(Unavailable(reason))
        self._meter.set(Metric.INFLIGHT_BYTES, self._inflight_bytes)

    def _come_back(self, tier: Tier) -> None:
        self.away = self.full = ""
        self._meter.set(Metric.QUEUE_CONNECTED, 1)
        log.info("queue connected", durability=tier.name)

    def _go_away(self, error: Exception) -> None:
        """Refuse appends from now on."""
        away = f"The queue is away: {error or type(error).__name__}"
        if away != self.away:  # the first failure, and each new cause
            log.error("queue away", error=str(error))
        self.away = away
        self._meter.set(Metric.QUEUE_CONNECTED, 0)


def _calls(group: list[_Append], ids: list[str]) -> Iterator[_Call]:
    """A group as script calls, each partition's appends in their order."""
    partitions: dict[int, list[_Append]] = defaultdict(list)
    for append in group:
        partitions[append.partition].append(append)
    for partition, appends in partitions.items():
        for first in range(0, len(appends), CALL_ENTRIES_MAX):
            yield _call(partition, appends[first : first + CALL_ENTRIES_MAX], ids[partition])


def _call(partition: int, appends: list[_Append], queue_id: str) -> _Call:
    events: dict[str, int] = defaultdict(int)
    for append in appends:
        events[append.project] += append.events
    counts = {field(project, ACCEPTED): number for project, number in events.items()}
    counts[field(ENTRIES, ACCEPTED)] = len(appends)
    ledger = [part for item in counts.items() for part in item]
    keys = (2, stream_key(partition), ledger_key(partition))
    head = command(
        "EVALSHA", APPEND_SHA, *keys, queue_id, len(counts), *ledger, more=2 * len(appends)
    )
    packed = head + b"".join([append.arguments for append in appends])
    return _Call(partition, appends, list(counts), packed)


async def _reply(connection: AbstractConnection) -> Any:
    """The reply to one call; an error reply is a value here, since others follow it."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
