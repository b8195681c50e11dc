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
from typing import cast

from core.errors import NotAccepted, Unavailable
from core.head import Head
from core.kernels import only_request
from gateway.answers import Answer
from gateway.arriving import Arriving
from gateway.connections import HEAD_LATE, Connections, Successor
from gateway.endpoint import Endpoint
from gateway.head_template import NONE, with_one_more
from gateway.keep_alive import KeepAlive
from gateway.plain_head import END, HEAD_BYTES_MAX, LINE, PlainHead, read_plain
from gateway.render import closing, render
from gateway.turn import Turn

READ_AHEAD_BYTES = 64 << 10  # of requests whose turn has not come
LINE_BYTES, END_BYTES = len(LINE), len(END)
NOT_CONNECTED = cast("asyncio.Transport", None)  # nothing is called before `connection_made`
Taken = tuple["Lane", Head, bytes]  # a request, and who waits for its answer
LINGER_S = 1  # to let a client read why it was cut off, before the connection closes


class Lane(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_arriving",
        "_at",
        "_buffer",
        "_closing",
        "_connections",
        "_endpoint",
        "_keep_alive",
        "_loop",
        "_owes_head",
        "_paused",
        "_receiving",
        "_searched",
        "_stalled",
        "_successor",
        "_templates",
        "_transport",
        "turn",
    )

    def __init__(
        self, endpoint: Endpoint, connections: Connections, successor: Callable[[], Successor]
    ) -> None:
        """successor: makes the protocol that takes over what is not plain."""
        self._endpoint = endpoint
        self._receiving = endpoint.receiving
        self._connections = connections
        self._successor = successor
        self._loop = asyncio.get_running_loop()
        self._transport = NOT_CONNECTED
        self._buffer: bytes | bytearray = b""  # as it came; a bytearray once it came in parts
        self._at = 0  # bytes of the buffer that are done with
        self._searched = 0  # up to where the head does not end
        self._owes_head = True  # a connection that is new, or has sent part of one
        self._templates = NONE  # of heads that came, by their sizes
        self._arriving = Arriving(endpoint.receiving, self._refuse)
        self.turn = Turn(endpoint, self)
        self._closing = False  # nothing more is read
        self._paused = False  # reading
        self._stalled = False  # the client does not read
        self._keep_alive = KeepAlive(self._loop, self.close_if_idle)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it, or close it before it costs anything."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if self._connections.join(self, self._transport):
            self._keep_alive.start()
        else:
            self._closing = True
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; a request under way is finished, and its answer dropped."""
        self._closing = True
        self._arriving.over()
        self._keep_alive.end()
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came, to go on with it in a moment."""
        if self._closing:
            return
        if not self._buffer:
            self._buffer = data
        elif isinstance(self._buffer, bytearray) and not self._at:
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer[self._at :]) + data
            self._searched -= self._at
            self._at = 0
        self._connections.ready.add(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: no request of its is begun."""
        self._stalled = True

    def resume_writing(self) -> None:
        """It has read."""
        self._stalled = False
        self._connections.ready.add(self)

    def take(self) -> Taken | None:
        """See gateway.ready.Served."""
        turn, buffer = self.turn, self._buffer
        if turn.busy or self._stalled or self._closing:
            self._pause_reading(len(buffer) - self._at > READ_AHEAD_BYTES)
            return None
        if self._paused:
            self._pause_reading(False)
        request = None
        if not (self._at or self._owes_head or self._arriving.plain):  # as usually
            request = only_request(self._templates, buffer, self._receiving.body_bytes_max)
        if request is None:
            return self._take_next(buffer)
        head, body = request
        try:
            self._receiving.take(len(body))
        except Unavailable as error:
            self._refuse(error)
            return None
        self._buffer = b""
        turn.busy = True  # from now on, since it may be asked again before that begins
        return self, head, body

    def _take_next(self, buffer: bytes | bytearray) -> Taken | None:
        """The same, where there may be less than one request, or more, or another kind."""
        arriving = self._arriving
        plain = arriving.plain or self._take_head(buffer)
        if plain is None:
            return None
        head, length = plain
        at = self._at
        end, size = at + length, len(buffer)
        if size < end:
            arriving.wait(plain, size - at)
            return None
        try:
            self._receiving.take(length - arriving.counted)
        except Unavailable as error:
            arriving.cut(error)
            return None
        arriving.counted = 0  # all of it counts as the request's from here on
        if arriving.plain is not None:
            arriving.over()
        if end == size:
            self._buffer, self._at, self._searched = b"", 0, 0
        else:
            self._at = self._searched = end
        self.turn.busy = True
        return self, head, bytes(buffer[at:end])

    def answered(self, answer: Answer, *, close: bool) -> None:
        """See gateway.turn.Asker."""
        self._keep_alive.since_s = self._loop.time()
        self._write(answer, close=close)
        if self._buffer:
            self._connections.ready.add(self)

    def told(self, response: bytes, now_s: float) -> None:
        """See gateway.ones.Waiting."""
        self.turn.busy = False
        self._keep_alive.since_s = now_s
        if self._connections.leaving:
            self._send(closing(response), close=True)
        elif not (self._closing or self._transport.is_closing()):  # as `_send` does
            self._transport.write(response)
        if self._buffer:
            self._connections.ready.add(self)

    def _take_head(self, buffer: bytes | bytearray) -> PlainHead | None:
        """Read the next head; None: it is not there yet, or not for the lane."""
        end = buffer.find(END, self._searched) + END_BYTES  # less than any head has: not found
        template = self._templates.get(end - self._at)
        plain = template.read(buffer, self._at) if template is not None else None
        if plain is None:
            plain = self._read_head(buffer, end)
            if plain is None:
                return None
        if plain[1] > self._receiving.body_bytes_max:
            self._hand_over()
            return None
        self._at = self._searched = end
        if self._owes_head:
            self._owes_head = False
            self._connections.head_ends(self)
        return plain

    def _read_head(self, buffer: bytes | bytearray, end: int) -> PlainHead | None:
        """The same for one that is unlike those before."""
        at = self._at
        if end < END_BYTES and LINE.startswith(buffer[at : at + LINE_BYTES]):
            if at < len(buffer):
                self._wait_for_head(buffer)
            return None
        raw = bytes(buffer[at:end])
        plain = read_plain(raw)
        if plain is None:
            self._hand_over()
        else:
            self._templates = with_one_more(self._templates, raw, plain[0])
        return plain

    def _wait_for_head(self, buffer: bytes | bytearray) -> None:
        """Part of a head is there: it must be complete in time, and not too long."""
        self._searched = max(self._at, len(buffer) - END_BYTES + 1)
        self._owes_head = True
        self._connections.head_begins(self)
        if len(buffer) - self._at > HEAD_BYTES_MAX:
            self._hand_over()

    def _refuse(self, error: NotAccepted) -> None:
        self._write(self._endpoint.refuse(error), close=True, linger=True)

    def _write(self, answer: Answer, *, close: bool, linger: bool = False) -> None:
        """Send an answer; nobody may be there any more."""
        close = close or self._connections.leaving
        self._send(render(answer, close=close), close=close, linger=linger)

    def _send(self, response: bytes, *, close: bool, linger: bool = False) -> None:
        if self._closing or self._transport.is_closing():  # uvloop would raise
            return
        self._transport.write(response)
        if close:
            self._closing = True
            self._keep_alive.end()
            self._buffer = b""
            self._pause_reading(False)
            self._loop.call_later(LINGER_S if linger else 0, self._transport.close)

    def _pause_reading(self, pause: bool) -> None:
        if pause == self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _hand_over(self) -> None:
        """Let aiohttp have the connection, with every byte that was not consumed."""
        unread = bytes(self._buffer[self._at :])
        self._closing = True
        self._buffer = b""
        self._pause_reading(False)
        self._keep_alive.end()
        successor = self._successor()
        self._connections.replace(self, successor, self._transport)
        self._transport.set_protocol(cast("asyncio.Protocol", successor))
        successor.connection_made(self._transport)
        successor.data_received(unread)

    def expire(self) -> None:
        """See gateway.connections.Connection."""
        if self._buffer and self._arriving.plain is None and not self.turn.busy:
            self._refuse(HEAD_LATE)
        else:
            self._transport.close()

    def abort(self) -> None:
        """See gateway.ready.Served."""
        self._transport.abort()

    def close_if_idle(self) -> None:
        """See gateway.connections.Connection."""
        if not (self.turn.busy or self._arriving.plain or self._buffer):
            self._transport.close()
