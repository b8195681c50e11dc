"""The open connections: how many there may be, how long a request's head may take, how they end.

Requirements: a client that trickles a head, never reads its answers, or only connects costs a
bounded amount, and no others their service. A stop answers what has begun, and refuses nothing.
Solution: one table of connections, and one of those that owe a head, in the order in which they
fall due (the time allowed is the same for all); one sweep a second looks at its front.
Cost: a request whose head arrives in one packet touches neither table; a time is exact to a second.
"""

import asyncio
import resource
from typing import Protocol

from core.errors import NotAccepted, Reason
from core.metrics import Meter, Metric
from core.settings import Settings
from gateway.ready import Ready
from runtime.log import Throttle, get_log

log = get_log()
SWEEP_S = 1
UNREAD_S = 30  # for a client to take in what it has been sent, before it is cut off
LOOK_S = 0.05  # between looks at what is still under way while the gateway stops
FILES_SPARE = 400  # for lookups of keys, the queue, the store, the log and the listener


HEAD_LATE = NotAccepted(Reason.REQUEST_TIMEOUT, "The headers did not arrive in time")


class Connection(Protocol):
    """What a connection must be able to do."""

    def expire(self) -> None:
        """The head is late: answer that, if part of it has come, and close."""

    def close_if_idle(self) -> None:
        """Close now, unless a request has begun to arrive or is being answered."""


class Successor(Connection, Protocol):
    """A connection's protocol that can take it over in the middle."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""


class Connections:
    """The connections of one gateway. `run` must be running for times to be kept."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._max = settings.connections_max
        self._header_timeout_s = settings.header_timeout_s
        self._meter = meter
        self._open: dict[Connection, asyncio.Transport] = {}
        self._heads: dict[Connection, float] = {}  # when each falls due; the first one first
        self._unread: set[Connection] = set()  # had unsent answers at the last look
        self._throttle = Throttle(10)
        self.ready = Ready()
        self.leaving = False  # set to True, every answer asks its client to go elsewhere
        self.finishing = False  # no connection is taken any more

    def fit_files(self) -> None:
        """Take fewer connections if the system allows fewer files: the queue needs some, too."""
        wanted = self._max + FILES_SPARE
        if (files := files_allowed(wanted)) < wanted:
            self._max = max(1, files - FILES_SPARE)
            log.warning("too few files", files=files, wanted=wanted, connections_max=self._max)

    def join(self, connection: Connection, transport: asyncio.Transport) -> bool:
        """Take a connection, which owes a head from now on; False: close it, there is no room."""
        if connection in self._open:  # it has replaced another
            return True
        if self.finishing:
            return False
        if len(self._open) >= self._max:
            self._meter.add(Metric.CONNECTIONS_REFUSED)
            if (held_back := self._throttle.held_back("refused")) is not None:
                log.warning("connections refused", connections_max=self._max, held_back=held_back)
            return False
        self._open[connection] = transport
        self._meter.set(Metric.CONNECTIONS, len(self._open))
        self.head_begins(connection)
        return True

    def replace(self, old: Connection, new: Connection, transport: asyncio.Transport) -> None:
        """The same client is served by another from now on, which owes no head yet."""
        self.head_ends(old)
        self._unread.discard(old)
        del self._open[old]
        self._open[new] = transport

    def leave(self, connection: Connection) -> None:
        """The connection is closed; it may never have been taken."""
        self._open.pop(connection, None)
        self._heads.pop(connection, None)
        self._unread.discard(connection)
        self._meter.set(Metric.CONNECTIONS, len(self._open))

    def head_begins(self, connection: Connection) -> None:
        """The connection owes the rest of a head; more of the same head changes nothing."""
        if connection not in self._heads:
            due_s = asyncio.get_running_loop().time() + self._header_timeout_s
            self._heads[connection] = due_s

    def head_ends(self, connection: Connection) -> None:
        """The head is complete."""
        self._heads.pop(connection, None)

    async def run(self) -> None:
        """Keep the times, until cancelled."""
        sweeps = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            self._expire_heads()
            sweeps += 1
            if sweeps * SWEEP_S >= UNREAD_S:
                self._cut_unread()
                sweeps = 0

    def _expire_heads(self) -> None:
        now_s = asyncio.get_running_loop().time()
        late = []
        for connection, due_s in self._heads.items():
            if due_s > now_s:
                break
            late.append(connection)
        for connection in late:
            del self._heads[connection]
            self._meter.add(Metric.CONNECTIONS_TIMED_OUT)
            connection.expire()

    def _cut_unread(self) -> None:
        """Cut off who has not read its answers for a whole round: closing would wait for it."""
        unread = {c for c, transport in self._open.items() if transport.get_write_buffer_size()}
        for connection in unread & self._unread:
            self._open[connection].abort()
        self._unread = unread

    async def finish(self, timeout_s: float) -> None:
        """Close connections as they fall idle, and take no new one; returns when none is left."""
        self.leaving = self.finishing = True
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        while self._open and loop.time() < until_s:
            for connection in list(self._open):
                connection.close_if_idle()
            await asyncio.sleep(LOOK_S)

    def cut_off(self) -> None:
        """Close what is left, whatever it is doing."""
        if self._open:
            log.warning("connections cut off", connections=len(self._open))
        for transport in list(self._open.values()):
            transport.abort()


def files_allowed(wanted: int) -> int:
    """How many files the process may open, after asking the system for this many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    given = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, hard))
    except (OSError, ValueError):  # some systems have another bound, which they do not tell
        return soft
    return given
