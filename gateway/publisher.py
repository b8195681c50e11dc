"""Group commit: what gathers while one group is being acknowledged is the next group's write.

Requirements  A request is answered only when the queue has its entry at the promised tier; a sync
              of the disk must be shared by all that wait for it; memory is bounded.
Solution      One connection, one group in flight: a joined write of prepared XADDs, then their
              replies. `fsynced` needs nothing more where the server syncs before it replies
              (appendfsync always), else one WAITAOF behind the group.
Cost          A lost connection leaves a group's outcome unknown: its requests are answered 503, and
              sending them again is harmless, since events have identities.
"""

import asyncio
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import OutOfMemoryError, ResponseError

from core.codec import Entry, encode_header
from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.partitions import partition_of, stream_key
from core.settings import Settings
from gateway.tier import TierError, needs_waitaof
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()
PING_S = 1.0  # an idle connection is tested this often, so that readiness tells the truth
# RESP: XADD <stream> * h <header> b <body>
XADD = (
    b"*7\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\nh\r\n$%d\r\n%s\r\n$1\r\nb\r\n$%d\r\n%s\r\n"
)
WAITAOF = b"*4\r\n$7\r\nWAITAOF\r\n$1\r\n1\r\n$1\r\n0\r\n$%d\r\n%d\r\n"
PING = b"*1\r\n$4\r\nPING\r\n"


class _Append(NamedTuple):
    command: bytes
    done: asyncio.Future[str]


class Publisher:
    """The EventQueue port on Redis Streams. `run` must be running for appends to be taken."""

    def __init__(self, queue: Redis, settings: Settings, meter: Meter) -> None:
        self._queue = queue
        self._ack = settings.ack
        self._partitions = settings.partitions
        self._inflight_bytes_max = settings.inflight_bytes_max
        self._append_timeout_s = settings.append_timeout_s
        self._meter = meter
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
        command = self._xadd(entry)
        if self._inflight_bytes + len(command) > self._inflight_bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        append = _Append(command, asyncio.get_running_loop().create_future())
        self._inflight_bytes += len(command)
        self._gathered.append(append)
        self._wake.set()
        return await append.done

    async def run(self) -> None:
        """Connect, commit group after group, reconnect; until cancelled."""
        backoff = Backoff()
        while True:
            connection = self._queue.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await connection.connect()
                waitaof = self._ack == "fsynced" and await needs_waitaof(connection)
                await self._ping(connection)
                self._come_back()
                while True:
                    await self._wait_for_work(connection)
                    await self._commit(connection, waitaof=waitaof)
                    backoff.reset()
            except (*QUEUE_ERRORS, TierError) as error:
                self._go_away(error)
            finally:
                self._fail(self._gathered)  # nobody may be left waiting, cancelled or not
                self._gathered = []
                await connection.disconnect(nowait=True)
            await backoff.wait()

    async def _wait_for_work(self, connection: AbstractConnection) -> None:
        """Return when something has gathered; tests the connection while nothing does."""
        while not self._gathered:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), PING_S)
            except TimeoutError:
                await self._ping(connection)

    async def _ping(self, connection: AbstractConnection) -> None:
        async with asyncio.timeout(self._append_timeout_s):
            await connection.send_packed_command(PING, check_health=False)
            await connection.read_response()

    async def _commit(self, connection: AbstractConnection, *, waitaof: bool) -> None:
        """Write what has gathered and answer it. Raises if the connection is of no more use."""
        group, self._gathered = self._gathered, []
        packed = b"".join([append.command for append in group])
        if waitaof:
            timeout_ms = self._append_timeout_s * 1000
            packed += WAITAOF % (len(str(timeout_ms)), timeout_ms)
        try:
            async with asyncio.timeout(self._append_timeout_s):
                await connection.send_packed_command(packed, check_health=False)
                replies = [await _reply(connection) for _ in group]
                synced = not waitaof or (await connection.read_response())[0] >= 1
        except BaseException:  # cancelled too: nobody may be left waiting
            self._fail(group)
            raise
        if not synced:
            replies = [ResponseError("the sync timed out")] * len(group)
        for append, reply in zip(group, replies, strict=True):
            self._settle(append, reply)
        errors = [reply for reply in replies if isinstance(reply, ResponseError)]
        full = [error for error in errors if isinstance(error, OutOfMemoryError)]
        self.full = "The queue is out of memory" if full else ""
        if len(errors) > len(full):  # read-only, no disk, no permission: perhaps not so elsewhere
            raise errors[0]

    def _settle(self, append: _Append, reply: bytes | ResponseError) -> None:
        """Answer one request; it may have gone meanwhile."""
        self._inflight_bytes -= len(append.command)
        self._meter.set(Metric.INFLIGHT_BYTES, self._inflight_bytes)
        if isinstance(reply, ResponseError):
            full = isinstance(reply, OutOfMemoryError)
            reason = Reason.BACKLOG_FULL if full else Reason.QUEUE_UNAVAILABLE
            if (held_back := self._throttle.held_back(reason.code)) is not None:
                log.error("append refused", error=str(reply), held_back=held_back)
            self._meter.add(Metric.APPEND_FAILURES, 1, reason.code)
            if not append.done.done():
                append.done.set_exception(Unavailable(reason))
        elif not append.done.done():
            append.done.set_result(self._ack)

    def _fail(self, group: list[_Append]) -> None:
        for append in group:
            self._settle(append, ResponseError("the connection was lost; the outcome is unknown"))

    def _come_back(self) -> None:
        self.away = ""
        self._meter.set(Metric.QUEUE_CONNECTED, 1)
        log.info("queue connected", durability=self._ack)

    def _go_away(self, error: Exception) -> None:
        """Refuse appends from now on."""
        away = f"The queue is away: {error or type(error).__name__}"
        if away != self.away:  # the first failure, and each new cause
            log.error("queue away", error=str(error))
        self.away = away
        self._meter.set(Metric.QUEUE_CONNECTED, 0)

    def _xadd(self, entry: Entry) -> bytes:
        key = stream_key(partition_of(entry.project, self._partitions)).encode()
        header = encode_header(entry)
        return XADD % (len(key), key, len(header), header, len(entry.body), entry.body)


async def _reply(connection: AbstractConnection) -> bytes | ResponseError:
    """The reply to one command; an error reply is a value here, since others follow it."""
    try:
        reply: bytes = await connection.read_response()
    except ResponseError as error:
        return error
    return reply
