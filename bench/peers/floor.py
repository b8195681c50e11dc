"""The floor: each read is appended and answered when the queue has; nothing is parsed or checked.

What a Python process on uvloop cannot do with less: read, XADD with one loop turn's commands in a
write, read the reply, answer. Senders here write one request at a time, in one piece.
"""

import asyncio
from collections import deque

import hiredis
import uvloop

from bench.peers.checks import PORT, QUEUE_PORT

XADD = b"*5\r\n$4\r\nXADD\r\n$6\r\ningest\r\n$1\r\n*\r\n$4\r\nbody\r\n$%d\r\n%s\r\n"
BODY = b'{"eventId":"evt_00000000000000000000000000","sessionId":"sess_0"}'
HEAD = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ANSWER = HEAD % (len(BODY), BODY)


class Appender(asyncio.Protocol):
    """The connection to the queue."""

    def __init__(self) -> None:
        self._commands: list[bytes] = []
        self._waiting: deque[asyncio.Transport] = deque()
        self._replies = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def append(self, data: bytes, client: asyncio.Transport) -> None:
        """Append at the end of this loop turn, and answer the client then."""
        if not self._commands:
            asyncio.get_running_loop().call_soon(self._flush)
        self._commands.append(XADD % (len(data), data))
        self._waiting.append(client)

    def _flush(self) -> None:
        self._transport.writelines(self._commands)
        self._commands = []

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._replies.feed(data)
        while self._replies.gets() is not False:
            client = self._waiting.popleft()
            if not client.is_closing():
                client.write(ANSWER)


class Floor(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._appender.append(data, self._transport)


async def main() -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    _, appender = await loop.create_connection(Appender, "127.0.0.1", QUEUE_PORT)
    await loop.create_server(lambda: Floor(appender), "127.0.0.1", PORT)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
