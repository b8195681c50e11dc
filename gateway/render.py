"""An answer as bytes in HTTP/1.1, with the headers that every answer has."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from core.usual import responses
from core.usual_python import One
from gateway.answers import Answer, Kind, accepted_kind
from gateway.request_ids import request_ids
from runtime.status import FIXED_HEADERS

FIXED = "".join(f"{name}: {value}\r\n" for name, value in FIXED_HEADERS.items())


def render(answer: Answer, *, close: bool) -> bytes:
    """The response; with `Connection: close` if the connection will be."""
    body = answer.body
    return b"%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        _head(answer.kind, close, int(time.time())),
        request_ids.next().encode(),
        len(body),
        body,
    )


def render_ones(durability: str, ones: list[One]) -> list[bytes]:
    """The same, `accepted`, for many requests of one event each."""
    head = _head(accepted_kind(durability), False, int(time.time())) + b"X-Request-Id: "
    return responses(head, request_ids.some(len(ones)), ones)


def closing(rendered: bytes) -> bytes:
    """The same response, with `Connection: close`."""
    return rendered.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


@lru_cache(maxsize=64)
def _head(kind: Kind, close: bool, now_s: int) -> bytes:
    """All that answers of one kind have alike within one second."""
    lines = [f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in kind.headers.items()]
    lines += [FIXED, f"Date: {formatdate(now_s, usegmt=True)}\r\n"]
    lines += ["Connection: close\r\n"] if close else []
    return "".join(lines).encode("latin-1")
