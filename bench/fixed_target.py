"""A target that checks nothing: a fixed 202 for every request, so that the sender is what limits.

Usage: fixed_target.py PORT. An empty batch is answered as a gateway would, for the harness's probe.
"""

import asyncio
import sys

import uvloop

ACCEPTED = b'{"eventId":"evt_0","sessionId":"sess_0","status":"accepted"}'
EMPTY = b'{"error":"The batch holds no event","code":"empty_batch"}'
HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ANSWER_202 = HEAD % (b"202 Accepted", len(ACCEPTED), ACCEPTED)
ANSWER_400 = HEAD % (b"400 Bad Request", len(EMPTY), EMPTY)


class Fixed(asyncio.Protocol):
    """One connection; a read that ends a body is a request."""

    def __init__(self) -> None:
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. Senders here write one request at a time."""
        if self._left:
            self._left -= len(data)
        else:
            end = data.find(b"\r\n\r\n")
            start = data.lower().find(b"content-length: ", 0, end) + 16
            length = int(data[start : data.find(b"\r", start)]) if start > 15 else 0
            self._left = end + 4 + length - len(data)
        if not self._left:
            self._transport.write(ANSWER_400 if data.endswith(b"\r\n\r\n[]") else ANSWER_202)


async def main() -> None:
    """Listen on loopback until the process is ended."""
    await asyncio.get_running_loop().create_server(Fixed, "127.0.0.1", int(sys.argv[1]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
