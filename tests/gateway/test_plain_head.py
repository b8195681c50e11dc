"""Which heads the lane serves: those that nobody can read in two ways."""

from collections.abc import Callable

import pytest

from core.head import FIELD_OF, Head, read_head
from gateway.plain_head import END, HEADERS_MAX, LINE, read_plain

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
    assert found[1] == length


@pytest.mark.parametrize("change", [bytes, bytes.lower, bytes.upper], ids=["as is", "low", "up"])
def test_fields(change: Callable[[bytes], bytes]) -> None:
    """Headers that count are found by name in any case, at any place; others are ignored."""
    names = list(FIELD_OF)
    for count in range(len(names) + 1):
        lines = [change(name) + b":  v%d \r\n" % n for n, name in enumerate(names[:count])]
        found = read_plain(head(b"Project: no\r\n", *reversed(lines), LENGTH))
        pairs = [(name, b"v%d " % n) for n, name in enumerate(names[:count])]
        assert found == (read_head(pairs), 5)


def test_fields_in_order() -> None:
    """The table of names is in the order of the fields that they fill."""
    values = [name.encode() for name in FIELD_OF.values()]
    head_of_all = Head(*values)
    assert [getattr(head_of_all, name) for name in FIELD_OF.values()] == values


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
    "repeated": head(LENGTH, b"X-Contox-Project: a\r\n", b"X-Contox-Project: a\r\n"),
    "repeated in other case": head(LENGTH, b"Content-Type: a\r\n", b"content-type: a\r\n"),
    "lengths in other case": head(LENGTH, b"content-length: 5\r\n"),
    "too many": head(LENGTH, *[b"X-A: b\r\n"] * HEADERS_MAX),
    "cut short": head(LENGTH)[: -len(END)],
}


@pytest.mark.parametrize("other", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_not_plain(other: bytes) -> None:
    """Whatever could be read in two ways, or asks for more, is left to aiohttp."""
    assert read_plain(other) is None
