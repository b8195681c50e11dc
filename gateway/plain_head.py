"""The head of a plain request: the only kind that the lane (gateway/lane.py) serves itself.

Plain is what no two readers can understand in two ways: one POST to the endpoint in HTTP/1.1, a
Host, one Content-Length in digits, no header given twice, no framing or hop-by-hop header that
asks for anything, and a head that is short. httptools (llhttp) must accept it, too. Whatever else
comes is for aiohttp to judge.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from core.head import FIELD_OF, Head
from gateway.endpoint import PATH

LINE = f"POST {PATH} HTTP/1.1\r\n".encode()
CRLF, END = b"\r\n", b"\r\n\r\n"
HEAD_BYTES_MAX = 8_000  # below every bound that aiohttp has for parts of a head
HEADERS_MAX = 64
LENGTH_DIGITS_MAX = 9
SHAPES_MAX = 1024  # lists of names that are remembered, of at most HEAD_BYTES_MAX each
ASKS_FOR_MORE = frozenset(
    (
        b"authorization",  # whose key is asked of Redis
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
PICKED = (*FIELD_OF, b"content-length", b"connection")
PlainHead = tuple[Head, int]  # and how many bytes its body has
Pick = Callable[[list[bytes | None]], tuple[bytes | None, ...]]


class _Reader:
    """What httptools calls, for each header: a dictionary, and no frame of Python."""

    __slots__ = ("on_header",)

    on_header: Callable[[bytes, bytes], None]


def read_plain(head: bytes) -> PlainHead | None:
    """The head that these bytes are, up to the first END; None if it is not plain."""
    if len(head) > HEAD_BYTES_MAX or not head.startswith(LINE):
        return None
    reader = _Reader()
    headers: dict[bytes, bytes | None] = {}
    reader.on_header = headers.__setitem__
    try:
        HttpRequestParser(reader).feed_data(head)
    except (HttpParserError, HttpParserUpgrade):
        return None
    if head.count(CRLF) != len(headers) + 2:  # a header was repeated: the dictionary holds fewer
        return None
    pick = _shape(tuple(headers))
    if pick is None:
        return None
    project, timestamp, signature, kind, encoding, length, connection = pick(
        [*headers.values(), None]
    )
    closes = connection is not None and connection.lower() != b"keep-alive"
    if closes or length is None or not length.isdigit() or len(length) > LENGTH_DIGITS_MAX:
        return None
    return Head(project, timestamp, signature, kind, encoding), int(length)


@lru_cache(SHAPES_MAX)  # a client sends the same names in the same order
def _shape(names: tuple[bytes, ...]) -> Pick | None:
    """What picks from the values of headers with these names, and a None behind them, those that
    are PICKED; None if the head is not plain."""
    if len(names) > HEADERS_MAX:
        return None
    at = {name.lower(): index for index, name in enumerate(names)}
    if len(at) < len(names) or not at.keys().isdisjoint(ASKS_FOR_MORE):  # twice, in other case
        return None
    if b"host" not in at:
        return None
    return itemgetter(*(at.get(name, -1) for name in PICKED))
