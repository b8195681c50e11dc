"""Listening on TCP with aiohttp's server protocol, in our words where a request is not HTTP.

aiohttp would answer broken HTTP with plain text, and log a traceback for each, which leaves the
size of the log to anyone who can connect. Here it is the contract's JSON and a counter.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from core.errors import NotAccepted, Reason
from gateway.endpoint import Endpoint, to_response
from runtime.log import get_log
from runtime.status import FIXED_HEADERS

log = get_log()
LISTEN_BACKLOG = 1024
OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # bodies are wanted as they were signed
    "keepalive_timeout": 75,
    "lingering_time": 1,  # to let a client read why it was cut off, before the connection closes
}
FINISH_S = 5  # for requests in flight after the listener has closed
SHUTDOWN_S = 1  # for aiohttp to end what is left; together under the 10 s that Docker gives


class Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: Endpoint, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **OPTIONS)
        self._endpoint = endpoint

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
        reason = Reason.INTERNAL if status >= 500 else Reason.BAD_REQUEST
        answer = self._endpoint.refuse(NotAccepted(reason))
        response = to_response(answer)
        response.headers.update(FIXED_HEADERS)
        response.force_close()
        return response


@asynccontextmanager
async def listening(
    app: web.Application, endpoint: Endpoint, host: str, port: int
) -> AsyncIterator[int]:
    """Accept connections; gives the port. Leaving closes it and finishes what is in flight."""
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    server = runner.server
    assert server is not None
    listener = await asyncio.get_running_loop().create_server(
        lambda: Protocol(endpoint, server), host, port, backlog=LISTEN_BACKLOG
    )
    port = listener.sockets[0].getsockname()[1]
    log.info("gateway listens", host=host, port=port)
    try:
        yield port
    finally:
        listener.close()
        await endpoint.finish(FINISH_S)  # aiohttp itself would drop bodies that still arrive
        await runner.cleanup()
