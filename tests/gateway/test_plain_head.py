"""Which heads the lane serves: those that nobody can read in two ways."""

import pytest
from aiohttp.http_parser import SINGLETON_HEADERS

from gateway.plain_head import END, HEAD_BYTES_MAX, HEADERS_MAX, LINE, ONCE, PlainHead, read_plain

HOST = b"Host: x\r\n"
LENGTH = b"Content-Length: 5\r\n"


def head(*lines: bytes) -> bytes:
    """A head of a Host and these lines."""
    return LINE + HOST + b"".join(lines) + b"\r\n"


@pytest.mark.parametrize(
    ("plain", "length"),
    [
        (head(LENGTH), 5),
        (head(b"content-length:0\r\n"), 0),
        (head(LENGTH, b"Connection: Keep-Alive\r\n", b"X-Any:  \xff \r\n"), 5),
    ],
    ids=["usual", "no space", "keep-alive"],
)
def test_plain(plain: bytes, length: int) -> None:
    """A head with one length, and nothing that asks for more, is plain."""
    found = read_plain(plain)
    assert found is not None
    assert found.length == length


def test_headers() -> None:
    """Headers come in order, as they were, less the space before values."""
    found = read_plain(head(b"X-A:  b \r\n", LENGTH, b"x-a: c\r\n"))
    others = [(b"X-A", b"b "), (b"Content-Length", b"5"), (b"x-a", b"c")]
    assert found == PlainHead([(b"Host", b"x"), *others], 5)


NOT_PLAIN = {
    "no length": head(),
    "no host": LINE + LENGTH + b"\r\n",
    "two hosts": head(HOST, LENGTH),
    "two types": head(LENGTH, b"Content-Type: a\r\n", b"content-type: a\r\n"),
    "old handshake": head(LENGTH, b"Sec-WebSocket-Key1: a\r\n"),
    "two lengths": head(LENGTH, LENGTH),
    "two different lengths": head(LENGTH, b"Content-Length: 6\r\n"),
    "lengths in one": head(b"Content-Length: 5, 5\r\n"),
    "signed length": head(b"Content-Length: +5\r\n"),
    "negative length": head(b"Content-Length: -5\r\n"),
    "hexadecimal length": head(b"Content-Length: 0x5\r\n"),
    "length with a space in it": head(b"Content-Length: 5 5\r\n"),
    "huge length": head(b"Content-Length: 99999999999999999999\r\n"),
    "space before the colon": head(b"Content-Length : 5\r\n"),
    "chunked": head(b"Transfer-Encoding: chunked\r\n"),
    "length and chunked": head(LENGTH, b"Transfer-Encoding: chunked\r\n"),
    "chunked in disguise": head(LENGTH, b"Transfer-Encoding: xchunked\r\n"),
    "chunked after a tab": head(LENGTH, b"Transfer-Encoding:\tchunked\r\n"),
    "identity": head(LENGTH, b"Transfer-Encoding: identity\r\n"),
    "expect": head(LENGTH, b"Expect: 100-continue\r\n"),
    "upgrade": head(LENGTH, b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n"),
    "close": head(LENGTH, b"Connection: close\r\n"),
    "trailer": head(LENGTH, b"Trailer: X-A\r\n"),
    "folded": head(LENGTH, b"X-A: b\r\n c\r\n"),
    "bare line feed": head(b"X-A: b\nContent-Length: 5\r\n"),
    "bare carriage return": head(LENGTH, b"X-A: b\rc\r\n"),
    "NUL": head(LENGTH, b"X-A: \0\r\n"),
    "no name": head(LENGTH, b": b\r\n"),
    "no colon": head(LENGTH, b"X-A\r\n"),
    "too long": head(LENGTH, b"X-A: " + b"a" * HEAD_BYTES_MAX + b"\r\n"),
    "too many": head(LENGTH, *[b"X-A: b\r\n"] * (HEADERS_MAX - 1)),
    "cut short": head(LENGTH)[: -len(END)],
}


@pytest.mark.parametrize("other", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_not_plain(other: bytes) -> None:
    """Whatever could be read in two ways, or asks for more, is left to aiohttp."""
    assert read_plain(other) is None


def test_once() -> None:
    """What must come once only is what aiohttp thinks so of."""
    assert {name.lower().encode() for name in SINGLETON_HEADERS} == ONCE
