"""Listening with aiohttp's server protocol, in our words where a request is not HTTP.

aiohttp would answer broken HTTP with plain text, and log a traceback for each, which leaves the
size of the log to anyone who can connect. Here it is the contract's JSON and a counter. It would
also wait for a head without end, and drop bodies that are arriving when it stops: `Connections`
keeps the time and the order of the stop.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from core.errors import NotAccepted, Reason
from gateway.connections import HEAD_LATE, Connections
from gateway.endpoint import Endpoint, to_response
from gateway.lane import Lane
from gateway.sockets import LISTEN_BACKLOG
from runtime.log import get_log
from runtime.status import FIXED_HEADERS

log = get_log()
HEAD_BYTES_MAX = 32 << 10  # aiohttp bounds a head's lines one by one only, to 1 MiB in all
OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # bodies are wanted as they were signed
    "keepalive_timeout": 75,
    "lingering_time": 1,  # to let a client read why it was cut off, before the connection closes
    "read_bufsize": 64 << 10,  # twice as much of a body waits while its request's turn has not come
}
FINISH_S = 5  # for requests under way when the listener has closed
CUT_S = 1  # more, for the client to read that its body came too late
SHUTDOWN_S = 1  # for aiohttp to end what is left; all together under the 10 s that Docker gives


class Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_body", "_connections", "_endpoint", "_head_bytes", "_refused")

    def __init__(self, endpoint: Endpoint, connections: Connections, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **OPTIONS)
        self._endpoint = endpoint
        self._connections = connections
        self._body: StreamReader = EMPTY_PAYLOAD  # of the last head that was complete
        self._head_bytes = 0  # of the head that is arriving
        self._refused = False  # a head: what follows it is not read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it, or close it before it costs anything."""
        real = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if self._connections.join(self, real):
            super().connection_made(transport)
        else:
            self._force_close = True
            real.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._connections.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; notice where a head begins and ends.

        A head whose first bytes come in the packet that ends the request before is noticed with its
        next packet; without one the keep-alive time ends it.
        """
        if self._refused:
            return
        heads, in_body = self._request_count, not self._body.is_eof()
        super().data_received(data)
        if self._request_count != heads:
            self._connections.head_ends(self)
            self._body = self._messages[-1][1]
            self._head_bytes = 0
        elif data and not in_body:
            self._connections.head_begins(self)
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_head(400)

    def expire(self) -> None:
        """See gateway.connections.Connection."""
        if self._head_bytes:
            self._refuse_head(408)
        else:
            self.force_close()

    def _refuse_head(self, status: int) -> None:
        """Give up on the head that is arriving: answer it, in its turn, and close."""
        self._refused = True
        self._connections.head_ends(self)
        self._messages.append((_ErrInfo(status, ValueError(), ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close_if_idle(self) -> None:
        """See gateway.connections.Connection."""
        waits = self._waiter is not None and not self._waiter.done()
        if waits and not self._head_bytes and not self._messages:
            self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; while the gateway leaves, with `Connection: close`."""
        if self._connections.leaving:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser could not read, or what no handler has caught; then close."""
        if status >= 500:
            log.error("request failed", exc_info=exc)
        error = NotAccepted(Reason.INTERNAL if status >= 500 else Reason.BAD_REQUEST)
        if status == 408:
            error = HEAD_LATE
        response = to_response(self._endpoint.refuse(error))
        response.headers.update(FIXED_HEADERS)
        response.force_close()
        return response


@asynccontextmanager
async def listening(
    app: web.Application,
    endpoint: Endpoint,
    connections: Connections,
    sockets: Iterable[socket.socket],
    *,
    lane: bool = True,
) -> AsyncIterator[None]:
    """Accept connections on bound sockets, which are the caller's. Leaving closes them and finishes
    what is under way. lane: whether plain requests are served by gateway/lane.py."""
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    server = runner.server
    assert server is not None
    connections.fit_files()

    def whole() -> Protocol:
        return Protocol(endpoint, connections, server)

    def lean() -> Lane:
        return Lane(endpoint, connections, whole)

    listeners = [await _listen(lean if lane else whole, each) for each in sockets]
    try:
        yield
    finally:
        for listener in listeners:
            listener.close()
        await connections.finish(FINISH_S)
        endpoint.receiving.end()
        await connections.finish(CUT_S)
        connections.cut_off()
        await runner.cleanup()


async def _listen(protocol: Callable[[], asyncio.Protocol], bound: socket.socket) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    if bound.family == socket.AF_UNIX:
        return await loop.create_unix_server(protocol, sock=bound, backlog=LISTEN_BACKLOG)
    return await loop.create_server(protocol, sock=bound, backlog=LISTEN_BACKLOG)
