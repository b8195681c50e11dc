"""HTTP/1.1 by hand, so that tests can send what no client would."""

import asyncio
import gzip
import json
import time
from typing import Any, NamedTuple

from core.auth import keyed, sign

PATH = "/api/v2/ingest"
EVENT = b'{"event":"saved","payload":{"n":1}}'
Headers = dict[str, str | bytes | None]


class Reply(NamedTuple):
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Producer(NamedTuple):
    """A project's producer, that signs rightly unless it is told otherwise."""

    port: int
    project: str
    secret: str

    def request(
        self,
        body: bytes = EVENT,
        *,
        changed: Headers | None = None,
        added: list[tuple[str, str | bytes]] | None = None,
        timestamp: int | None = None,
        method: str = "POST",
        path: str = PATH,
    ) -> bytes:
        """The bytes of a signed request.

        changed: headers that replace those of the same name; None leaves one out.
        added: headers that come on top, so that a name comes twice.
        """
        timestamp = int(time.time()) if timestamp is None else timestamp
        headers: Headers = {
            "Host": "localhost",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Contox-Project": self.project,
            "X-Contox-Timestamp": str(timestamp),
            "X-Contox-Signature": sign(self.secret, timestamp_s=timestamp, body=body),
            **(changed or {}),
        }
        stamp = headers["X-Contox-Timestamp"]
        if changed and "X-Contox-Timestamp" in changed and stamp is not None:
            text = stamp.encode() if isinstance(stamp, str) else stamp
            mac = keyed(self.secret).mac(text, body).hex()  # rightly signed, but for its form
            headers["X-Contox-Signature"] = f"sha256={mac}"
        pairs = [(name, value) for name, value in headers.items() if value is not None]
        lines = [f"{method} {path} HTTP/1.1".encode()]
        for name, value in pairs + (added or []):
            lines.append(
                name.encode() + b": " + (value.encode() if isinstance(value, str) else value)
            )
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    async def post(self, body: bytes = EVENT, **options: Any) -> Reply:
        """Send one signed request on a connection of its own."""
        return await exchange(self.port, self.request(body, **options))


async def exchange(port: int, raw: bytes) -> Reply:
    """Send bytes to a local server and read one response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        return await read_reply(reader)
    finally:
        writer.close()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Read one response with a Content-Length."""
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            if colon:
                headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Reply(int(first.split()[1]), headers, body)


def chunked(body: bytes) -> bytes:
    """A body in chunks of 100 bytes."""
    pieces = [body[n : n + 100] for n in range(0, len(body), 100)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def bomb(size: int) -> bytes:
    """Few bytes of gzip that decode to `size` bytes of valid JSON."""
    return gzip.compress(b'{"event":"saved","payload":{"x":"' + b"a" * size + b'"}}')
