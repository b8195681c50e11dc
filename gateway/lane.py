"""The lean transport: plain requests are read and answered here, all others handed to aiohttp.

Requirements  A plain signed POST must not pay for a web framework; what is understood here must be
              what aiohttp would have understood; slow, greedy and vanishing clients cost a bound.
Solution      A protocol that serves one request at a time: pipelined ones wait in the buffer, and
              reading pauses when that is long. A head that is not plain (gateway/plain_head.py)
              goes to aiohttp on the same socket with all bytes that were not consumed.
Cost          A connection that was handed over stays with aiohttp.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from gateway.answers import Answer, not_accepted
from gateway.connections import HEAD_LATE, Connection, Connections
from gateway.endpoint import PATH, Endpoint
from gateway.plain_head import END, HEAD_BYTES_MAX, LINE, PlainHead, read_plain
from gateway.render import render
from runtime.log import get_log

log = get_log()
READ_AHEAD_BYTES = 64 << 10  # of requests whose turn has not come
KEEP_ALIVE_S = 75
LINGER_S = 1  # to let a client read why it was cut off, before the connection closes


class Successor(Connection, Protocol):
    """A connection's protocol that can take it over in the middle."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""


class Lane(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_answering",
        "_buffer",
        "_closing",
        "_connections",
        "_counted",
        "_due",
        "_endpoint",
        "_head",
        "_idle_since_s",
        "_keep_alive",
        "_loop",
        "_paused",
        "_searched",
        "_stalled",
        "_successor",
        "_transport",
    )

    def __init__(
        self, endpoint: Endpoint, connections: Connections, successor: Callable[[], Successor]
    ) -> None:
        """successor: makes the protocol that takes over what is not plain."""
        self._endpoint = endpoint
        self._connections = connections
        self._successor = successor
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer in which the head does not end
        self._head: PlainHead | None = None  # complete, its body is arriving
        self._counted = 0  # bytes of that body that count as being received
        self._due: asyncio.TimerHandle | None = None  # ends the wait for that body
        self._answering: asyncio.Task[None] | None = None
        self._closing = False  # nothing more is read
        self._paused = False  # reading
        self._stalled = False  # the client does not read
        self._idle_since_s = self._loop.time()
        self._keep_alive: asyncio.TimerHandle | None = None  # would hold on to what has ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it, or close it before it costs anything."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if self._connections.join(self, self._transport):
            self._keep_alive = self._loop.call_later(KEEP_ALIVE_S, self._close_if_forgotten)
        else:
            self._closing = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; a request under way is finished, and its answer dropped."""
        self._closing = True
        self._body_is_over()
        self._forget_keep_alive()
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came, and do what can be done now."""
        if self._closing:
            return
        self._buffer += data
        self._go_on()

    def pause_writing(self) -> None:
        """The client reads too slowly: no request of its is begun."""
        self._stalled = True

    def resume_writing(self) -> None:
        """It has read."""
        self._stalled = False
        self._go_on()

    def _go_on(self) -> None:
        """Begin the request that is next, if it is there."""
        busy = self._answering is not None or self._stalled
        self._pause_reading(busy and len(self._buffer) > READ_AHEAD_BYTES)
        if busy or self._closing:
            return
        if self._head is None and not (self._buffer and self._take_head()):
            return
        assert self._head is not None
        length = self._head.length
        if len(self._buffer) < length:
            self._wait_for_body()
            return
        try:
            self._endpoint.receiving.take(length - self._counted)
        except Unavailable as error:
            self.cut(error)
            return
        self._counted = 0  # all of it counts as the request's from here on
        headers, body = self._head.headers, bytes(self._buffer[:length])
        del self._buffer[:length]
        self._body_is_over()
        self._answering = self._loop.create_task(self._answer(headers, body))

    def _take_head(self) -> bool:
        """Read the head at the buffer's start; False: it is not there yet, or not for the lane."""
        buffer = self._buffer
        if not buffer.startswith(LINE) and not LINE.startswith(buffer):
            self._hand_over()
            return False
        end = buffer.find(END, self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - len(END) + 1)
            self._connections.head_begins(self)
            if len(buffer) > HEAD_BYTES_MAX:
                self._hand_over()
            return False
        size = end + len(END)
        head = read_plain(bytes(buffer[:size]))
        if head is None or head.length > self._endpoint.receiving.body_bytes_max:
            self._hand_over()
            return False
        del buffer[:size]
        self._searched = 0
        self._head = head
        self._connections.head_ends(self)
        return True

    def _wait_for_body(self) -> None:
        """Part of a body is there: it counts, and the rest is waited for, but not for ever."""
        receiving = self._endpoint.receiving
        if self._due is None:
            self._due = self._loop.call_later(
                receiving.body_timeout_s, self.cut, Rejected(Reason.REQUEST_TIMEOUT)
            )
            if not receiving.expect(self):
                self.cut(Unavailable(Reason.SHUTTING_DOWN))
                return
        counted, self._counted = self._counted, len(self._buffer)
        try:
            receiving.take(self._counted - counted)
        except Unavailable as error:
            self._counted = counted
            self.cut(error)

    def cut(self, error: NotAccepted) -> None:
        """See gateway.receiving.Arrival: answer that, and read nothing more."""
        self._body_is_over()
        self._refuse(error)

    def _body_is_over(self) -> None:
        """No body is arriving any more."""
        self._head = None
        if self._due is not None:
            self._due.cancel()
            self._due = None
            self._endpoint.receiving.forget(self)
        if self._counted:
            self._endpoint.receiving.drop(self._counted)
            self._counted = 0

    def _refuse(self, error: NotAccepted) -> None:
        self._write(self._endpoint.refuse(error), close=True, linger=True)

    async def _answer(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Admit one request and write its answer."""
        close = False
        try:
            answer = await self._endpoint.answer_dropping(headers, body)
        except Exception:  # a bug: said loudly here, and in the contract's words to the client
            log.exception("request failed", path=PATH)
            answer, close = not_accepted(NotAccepted(Reason.INTERNAL)), True
        self._answering = None
        self._idle_since_s = self._loop.time()
        self._write(answer, close=close)
        self._go_on()

    def _write(self, answer: Answer, *, close: bool, linger: bool = False) -> None:
        """Send an answer; nobody may be there any more."""
        assert self._transport is not None
        if self._closing or self._transport.is_closing():  # uvloop would raise
            return
        close = close or self._connections.leaving
        self._transport.write(render(answer, close=close))
        if close:
            self._closing = True
            self._buffer.clear()
            self._pause_reading(False)
            self._loop.call_later(LINGER_S if linger else 0, self._close)

    def _close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _pause_reading(self, pause: bool) -> None:
        assert self._transport is not None
        if pause == self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _hand_over(self) -> None:
        """Let aiohttp have the connection, with every byte that was not consumed."""
        assert self._transport is not None
        unread = bytes(self._buffer)
        self._closing = True
        self._buffer.clear()
        self._pause_reading(False)
        self._forget_keep_alive()
        successor = self._successor()
        self._connections.replace(self, successor, self._transport)
        self._transport.set_protocol(cast("asyncio.Protocol", successor))
        successor.connection_made(self._transport)
        successor.data_received(unread)

    def expire(self) -> None:
        """See gateway.connections.Connection."""
        if self._buffer and self._head is None and self._answering is None:
            self._refuse(HEAD_LATE)
        else:
            self._close()

    def close_if_idle(self) -> None:
        """See gateway.connections.Connection."""
        if self._answering is None and self._head is None and not self._buffer:
            self._close()

    def _forget_keep_alive(self) -> None:
        if self._keep_alive is not None:
            self._keep_alive.cancel()

    def _close_if_forgotten(self) -> None:
        """A timer's: nothing has been asked here for long."""
        if self._closing:
            return
        left_s = self._idle_since_s + KEEP_ALIVE_S - self._loop.time()
        if left_s <= 0:
            self.close_if_idle()
        self._keep_alive = self._loop.call_later(max(left_s, 1), self._close_if_forgotten)
