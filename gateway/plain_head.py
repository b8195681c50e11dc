"""The head of a plain request: the only kind that the lane (gateway/lane.py) serves itself.

Plain is what no two readers can understand in two ways: one POST to the endpoint in HTTP/1.1, one
Host, one Content-Length in digits, no framing or hop-by-hop header that asks for anything, and a
head that is short. httptools (llhttp) must accept it, too. Whatever else comes is for aiohttp to
judge.
"""

from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gateway.endpoint import PATH

LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
END = b"\r\n\r\n"
HEAD_BYTES_MAX = 8_000  # below every bound that aiohttp has for parts of a head
HEADERS_MAX = 64
LENGTH_DIGITS_MAX = 9
ONCE = frozenset(  # aiohttp refuses a head that has one of them twice
    (
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"etag",
        b"host",
        b"max-forwards",
        b"server",
        b"transfer-encoding",
        b"user-agent",
    )
)
ASKS_FOR_MORE = frozenset(
    (
        b"connection",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"sec-websocket-key1",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


class PlainHead(NamedTuple):
    """What the lane needs of a head."""

    headers: list[tuple[bytes, bytes]]  # as received
    length: int  # of the body, in bytes


class _Reader:
    """Gathers headers, as httptools finds them."""

    __slots__ = ("complete", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Called by httptools at the empty line."""
        self.complete = True


def read_plain(head: bytes) -> PlainHead | None:
    """The head that these bytes are, from LINE to END; None if it is not plain."""
    if len(head) > HEAD_BYTES_MAX:
        return None
    reader = _Reader()
    try:
        HttpRequestParser(reader).feed_data(head)
    except (HttpParserError, HttpParserUpgrade):
        return None
    headers = reader.headers
    if not reader.complete or len(headers) > HEADERS_MAX:
        return None
    length = _length(headers)
    return None if length is None else PlainHead(headers, length)


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The body's, in bytes; None if the headers are not those of a plain head."""
    length, seen = None, set()
    for name, value in headers:
        lower = name.lower()
        if lower in ONCE:
            if lower in seen:
                return None
            seen.add(lower)
        if lower == b"content-length":
            if not value.isdigit() or len(value) > LENGTH_DIGITS_MAX:
                return None
            length = int(value)
        elif lower in ASKS_FOR_MORE and (lower, value.lower()) != (b"connection", b"keep-alive"):
            return None
    return length if b"host" in seen else None
