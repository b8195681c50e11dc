"""Requests by the hundred to a gateway in this process, while its loop runs."""

import asyncio
import http.client
import socket
from collections.abc import Callable
from typing import Any

from tests.gateway.conftest import Running

SERVED = range(200, 500)


class Sender:
    """A connection that is opened anew whenever the gateway has closed it."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._socket: socket.socket | None = None
        self.statuses: set[int] = set()

    def send(self, method: str, path: str, headers: bytes, body: bytes = b"") -> int:
        """The status of the answer. headers: lines, each with its end."""
        length = b"Content-Length: %d\r\n" % len(body)
        line = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
        raw = line + length + headers + b"\r\n" + body
        status = self._exchange(raw) or self._exchange(raw)
        assert status in SERVED, (status, raw)
        self.statuses.add(status)
        return status

    def _exchange(self, raw: bytes) -> int:
        """0 if the connection was closed before."""
        if self._socket is None:
            port = self._running.gateway.port
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        try:
            self._socket.sendall(raw)
            answer = http.client.HTTPResponse(self._socket)
            answer.begin()
            answer.read()
        except (http.client.BadStatusLine, ConnectionError):
            self.close()
            return 0
        if answer.getheader("Connection") == "close":
            self.close()
        return answer.status

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


async def fuzz(running: Running, test: Callable[[Sender], Any]) -> set[int]:
    """Run a test beside the loop; returns the statuses that came."""
    sender = Sender(running)
    try:
        await asyncio.to_thread(test, sender)
    finally:
        sender.close()
    return sender.statuses
