"""One connection to the queue, as bytes out and replies in: for commands that go in bulk.

Requirements  A group of appends should cost a write and a read; TLS, users, Sentinel and the
              handshake should stay with the client library.
Solution      The library connects. Then its stream is set aside and this protocol takes the
              transport: what comes in goes to hiredis, and each exchange is told its replies, in
              order.
Cost          The library's connection can do nothing more but be closed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError  # noqa: A004 - what callers catch

Replies = list[Any]


class ReplyError(Exception):
    """The server's answer is an error; its text is the server's."""

    @property
    def out_of_memory(self) -> bool:
        """Whether it was refused for want of memory."""
        return str(self).startswith("OOM ")


class Wire(asyncio.Protocol):
    """Exchanges: some commands written, and their replies when all of them are there."""

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        """Take over a connection that is open and owes no reply.

        timeout_s: within which the replies to an exchange must be there.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None  # when the first exchange may be late
        writer = cast("Any", connection)._writer  # noqa: SLF001 - the only way to its transport
        self._transport: asyncio.Transport = writer.transport
        self._reader = hiredis.Reader(protocolError=ConnectionError, replyError=ReplyError)
        self._exchanges: deque[tuple[int, Callable[[Replies], None], float]] = deque()
        self._replies: Replies = []
        self.lost: asyncio.Future[None] = loop.create_future()  # fails once it is of no more use
        self._transport.set_protocol(self)

    def __len__(self) -> int:
        """The exchanges that are under way."""
        return len(self._exchanges)

    def exchange(self, packed: bytes, replies: int, done: Callable[[Replies], None]) -> None:
        """Send commands; `done` is called with their replies, never if the connection is lost.

        packed: RESP. replies: how many there will be, at least 1; an error reply is a ReplyError.
        """
        due_s = self._loop.time() + self._timeout_s
        self._exchanges.append((replies, done, due_s))
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._look)
        if self._transport.is_closing():  # uvloop would raise
            self.fail(ConnectionError("The connection was lost"))
        else:
            self._transport.write(packed)

    def _look(self) -> None:
        """A timer's: one for all exchanges, since most are over long before it."""
        self._timer = None
        if not self._exchanges:
            return
        due_s = self._exchanges[0][2]
        if due_s <= self._loop.time():
            self.fail(ConnectionError("The server did not answer in time"))
        else:
            self._timer = self._loop.call_at(due_s, self._look)

    def fail(self, error: Exception) -> None:
        """Give the connection up; `lost` tells why."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_exception(error)
            self.lost.exception()  # who waits for it is told; nobody may be waiting any more
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Replies, or parts of some."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
                if len(self._replies) == self._exchanges[0][0]:
                    done = self._exchanges.popleft()[1]
                    replies, self._replies = self._replies, []
                    done(replies)
        except (ConnectionError, IndexError) as error:  # no RESP, or more than was asked for
            self.fail(ConnectionError(f"The server does not speak RESP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, or `fail` has."""
        self.fail(ConnectionError(f"The connection was lost{': ' if exc else ''}{exc or ''}"))
