"""Group commit: what gathers while groups are being acknowledged is the next group's write.

Requirements  A request is answered only when the queue has its entry at the promised tier; a sync
              of the disk must be shared by all that wait for it; each append is in the ledger, or
              neither is there; memory is bounded; an event costs no task and no future.
Solution      One connection, at most FLIGHTS_MAX groups on it. A group is one script call per
              partition, whose single reply stands for all of its entries; behind it goes the tier's
              own question (gateway/tier.py). The server runs a script as a whole or not at all, so
              a connection that breaks in the middle of a group leaves nothing half done. Who waits
              has left a receipt, which is called.
Cost          A lost connection leaves groups' outcome unknown: their requests are answered 503, and
              sending them again is harmless, since events have identities.
"""

import asyncio
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from core.codec import Entry
from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.partitions import partition_of
from core.ports import Bundle, Receipt
from core.settings import Settings
from gateway.call import APPEND, Call
from gateway.receipts import appended, put_each
from gateway.resp import command
from gateway.standings import Standings
from gateway.tier import Tier, TierError, find_tier
from gateway.wire import Replies, ReplyError, Wire
from gateway.witness import Witness
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()
PING_S = 1.0  # an idle connection is tested this often, so that readiness tells the truth
FLIGHTS_MAX = 2  # groups at once: while the server works on one, the next is on its way
LOST = ReplyError("the connection was lost; the outcome is unknown")


class Publisher:
    """The EventQueue port on Redis Streams. `run` must be running for appends to be taken."""

    def __init__(
        self, queue: Redis, settings: Settings, meter: Meter, standings: Standings | None = None
    ) -> None:
        self._queue = queue
        self._ack = settings.ack
        self._partitions = settings.partitions
        self._inflight_bytes_max = settings.inflight_bytes_max
        self._append_timeout_s = settings.append_timeout_s
        self._meter = meter
        self._standings = standings or Standings(settings.partitions)
        self._witness = Witness(self._standings, meter)
        self._tier: Tier | None = None
        self._trailer = b""  # the tier's, on the wire
        self._wire: Wire | None = None  # while it is connected
        self._gathered: dict[int, Call] = {}  # by partition, what is still open to more
        self._calls: list[Call] = []  # the next group, less those
        self._flying: list[list[Call]] = []  # groups whose replies are awaited
        self._scheduled = False
        self._inflight_bytes = 0
        self._inflight = meter.cell(Metric.INFLIGHT_BYTES)
        self._backoff = Backoff()
        self._throttle = Throttle(10)
        self.away = "The queue has not been reached yet"  # why appends are refused, or empty
        self.tried = asyncio.Event()  # set once the first attempt to connect is over
        self.full = ""  # why the last append was refused, though the queue is there

    def put(self, entry: Entry, receipt: Receipt) -> None:
        """See core.ports.EventQueue."""
        if self.away:
            raise Unavailable(Reason.QUEUE_UNAVAILABLE)
        partition = partition_of(entry.project, self._partitions)
        call = self._gathered.get(partition)
        if new := call is None:
            call = Call(partition, self._standings)
        bytes_max = self._inflight_bytes_max - self._inflight_bytes
        self._inflight_bytes += call.add(entry, receipt, bytes_max=bytes_max)
        if new:  # only now: an empty call must not be sent
            self._gathered[partition] = call
        self._has_gathered(call)

    def put_all(self, bundle: Bundle) -> None:
        """See core.ports.EventQueue."""
        if self.away or len(bundle.wire) > self._inflight_bytes_max - self._inflight_bytes:
            put_each(self, bundle)
            return
        call = self._gathered.get(bundle.partition)
        if call is not None and not call.has_room(bundle.entries):
            self._calls.append(self._gathered.pop(bundle.partition))
            call = None
        if call is None:
            call = Call(bundle.partition, self._standings)
            self._gathered[bundle.partition] = call
        call.add_all(bundle)
        self._inflight_bytes += len(bundle.wire)
        self._has_gathered(call)

    def _has_gathered(self, call: Call) -> None:
        """Close a call that is full, and see to it that what is gathered takes off."""
        if call.is_full:
            self._calls.append(self._gathered.pop(call.partition))
        if not self._scheduled and len(self._flying) < FLIGHTS_MAX:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._take_off)

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        return await appended(self, entry)

    async def run(self) -> None:
        """Connect, commit group after group, reconnect; until cancelled."""
        while True:
            connection = self._queue.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()
                self._tier = tier = await self._prepare(connection)
                self._trailer = command(*tier.trailer) if tier.trailer else b""
                await self._serve(Wire(connection, self._append_timeout_s))
            except (*QUEUE_ERRORS, TierError, ReplyError) as error:
                self._go_away(error)
            finally:
                self._wire = None
                self._fail_all()  # nobody may be left waiting, cancelled or not
                await connection.disconnect(nowait=True)
            await self._backoff.wait()

    async def _prepare(self, connection: AbstractConnection) -> Tier:
        """Before the first append: the tier, the script, and what the queue should still know."""
        async with asyncio.timeout(self._append_timeout_s):
            tier = await find_tier(connection, self._ack, self._append_timeout_s)
            await connection.send_command("SCRIPT", "LOAD", APPEND)
            await connection.read_response()
            await self._witness.testify(connection)
        return tier

    async def _serve(self, wire: Wire) -> None:
        """Let groups take off until the connection is of no more use; raises why."""
        self._wire = wire
        self._come_back()
        while not wire.lost.done():
            if not wire:
                wire.exchange(command("PING"), 1, self._pinged)
            await asyncio.wait({wire.lost}, timeout=PING_S)
        wire.lost.result()

    def _pinged(self, _replies: Replies) -> None:
        self._backoff.reset()
        self.full = ""  # it may have been drained; who comes next will tell

    def _take_off(self) -> None:
        """Send what has gathered as one group, unless enough are under way."""
        self._scheduled = False
        group = [*self._calls, *self._gathered.values()]
        if self._wire is None or not group or len(self._flying) >= FLIGHTS_MAX:
            return
        assert self._tier is not None
        self._gathered, self._calls = {}, []
        self._flying.append(group)
        packed: list[bytes | bytearray] = []
        for call in group:
            packed += call.packed(self._witness.ids[call.partition])
        packed.append(self._trailer)
        replies = len(group) + bool(self._trailer)
        self._wire.exchange(b"".join(packed), replies, partial(self._land, group))

    def _land(self, group: list[Call], replies: Replies) -> None:
        """Answer a group, and let the next one go."""
        assert self._wire is not None
        assert self._tier is not None
        self._flying.remove(group)
        if self._tier.trailer and not self._has_tier(replies.pop()):
            why = "the server's settings or replicas have changed, or its disk is too slow."
            self._give_up(TierError(f"CONTOX_ACK={self._ack} was not reached; {why}"))
            self._fail(group, ReplyError(f"the tier {self._ack} was not reached in time"))
            return
        self.full, elsewhere = "", None
        for reply in replies:
            if not isinstance(reply, ReplyError):
                continue
            if reply.out_of_memory:
                self.full = "The queue is out of memory"
            else:  # read-only, no disk, no permission: perhaps not so elsewhere
                elsewhere = elsewhere or reply
        if elsewhere:
            self._give_up(elsewhere)
        for call, reply in zip(group, replies, strict=True):
            self._answer(call, reply)
        self._inflight.value = self._inflight_bytes
        if not elsewhere:
            self._backoff.reset()
            self._take_off()

    def _give_up(self, error: Exception) -> None:
        """Leave this connection; before anybody is refused, so that nobody comes back to it."""
        assert self._wire is not None
        self._go_away(error)
        self._wire.fail(error)

    def _has_tier(self, reply: Any) -> bool:
        assert self._tier is not None
        return not isinstance(reply, ReplyError) and self._tier.reached(reply)

    def _answer(self, call: Call, reply: Any) -> None:
        """Tell the receipts of one call."""
        if isinstance(reply, ReplyError):
            self._fail([call], reply)
            return
        assert self._tier is not None
        self._inflight_bytes -= call.size
        call.accepted(reply, self._tier.name)

    def _fail_all(self) -> None:
        """Refuse all that has not been answered."""
        group = [call for flight in self._flying for call in flight]
        group += [*self._calls, *self._gathered.values()]
        self._flying, self._calls, self._gathered = [], [], {}
        self._fail(group)

    def _fail(self, group: list[Call], error: ReplyError = LOST) -> None:
        """Refuse a group: nothing of it is acknowledged."""
        if not group:
            return
        reason = Reason.BACKLOG_FULL if error.out_of_memory else Reason.QUEUE_UNAVAILABLE
        if (held_back := self._throttle.held_back(reason.code)) is not None:
            log.error("appends refused", error=str(error), held_back=held_back)
        self._meter.add(Metric.APPEND_FAILURES, sum(map(len, group)), reason.code)
        for call in group:
            self._inflight_bytes -= call.size
            call.refused(reason)
        self._inflight.value = self._inflight_bytes

    def _come_back(self) -> None:
        assert self._tier is not None
        self.away = self.full = ""
        self.tried.set()
        self._meter.set(Metric.QUEUE_CONNECTED, 1)
        log.info("queue connected", durability=self._tier.name)

    def _go_away(self, error: Exception) -> None:
        """Refuse appends from now on."""
        away = f"The queue is away: {error or type(error).__name__}"
        if away != self.away:  # the first failure, and each new cause
            log.error("queue away", error=str(error))
        self.away = away
        self.tried.set()
        self._meter.set(Metric.QUEUE_CONNECTED, 0)
