"""What clients might send, for fuzz tests: requests, requests with parts exchanged, plain noise."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tests.gateway.conftest import NOW, SECRET
from tests.raw_http import EVENT, PATH, Producer, chunked

PRODUCER = Producer(0, "proj_1", SECRET)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
BODIES = [
    EVENT,
    b"[" + EVENT + b"," + EVENT + b"]",
    b"[" + EVENT + b",1]",
    b"",
    b"{",
    b'{"event":"a","payload":{"x":"' + b"x" * 900 + b'"}}',  # an event over its bound
    b" " * 2_000,
    b" " * 2_001,  # a body over its bound
    EVENT + b"\r\n\r\n",
]
# Lines of a head, that say nothing, or something else than what the others say.
LINES = [
    b"Content-Length: 5",
    b"Content-Length: %d" % len(EVENT),
    b"content-length:%d " % len(EVENT),
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: 5, 5",
    b"Content-Length : 5",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:\tchunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b"Expect: tea",
    b"TE: trailers",
    b"Trailer: X-A",
    b"Host: y",
    b"User-Agent: a",
    b"Content-Encoding: gzip",
    b"Content-Type: application/json",
    b"Content-Type: application/x-ndjson",
    b"X-Contox-Project: proj_1",
    b"X-Contox-Project: proj_2",
    b"X-A: b\r\n c",
    b"X-A: \0",
    b"X-A: b\rc",
    b"X-A: b\nX-C: d",
    b"X-A: \xff\xfe",
    b"X-A:  b \t",
    b"X A: b",
    b": b",
    b"X-A",
    b"X-A: " + b"a" * 7_000,
    b"X-A: " + b"a" * 9_000,
    b"",
]
FIRST = [
    f"POST {PATH} HTTP/1.1".encode(),
    f"POST {PATH} HTTP/1.0".encode(),
    f"POST {PATH}  HTTP/1.1".encode(),
    f"POST {PATH}/ HTTP/1.1".encode(),
    f"POST {PATH}?a=b HTTP/1.1".encode(),
    f"POST http://x{PATH} HTTP/1.1".encode(),
    f"PUT {PATH} HTTP/1.1".encode(),
    f"post {PATH} HTTP/1.1".encode(),
    b"GET /healthz HTTP/1.1",
    f"\r\nPOST {PATH} HTTP/1.1".encode(),
]
TOKENS = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"0", b"POST ", HEALTH]


def signed(body: bytes = EVENT, **changed: Any) -> bytes:
    """A request that is rightly signed, with headers changed; None leaves one out."""
    headers = {name.replace("_", "-"): value for name, value in changed.items()}
    return PRODUCER.request(body, changed=headers, timestamp=NOW)


def in_chunks(body: bytes) -> bytes:
    """The same with a body of unknown length."""
    head = signed(body, Transfer_Encoding="chunked", Content_Length=None)
    return head[: len(head) - len(body)] + chunked(body)


@st.composite
def odd_heads(draw: st.DrawFn) -> bytes:
    """A request, with its first line, or lines of its head, exchanged, added or left out."""
    head, _, body = signed(draw(st.sampled_from(BODIES))).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    first = draw(st.just(first) | st.sampled_from(FIRST))
    for line in draw(st.lists(st.sampled_from(LINES), max_size=2)):
        place = draw(st.integers(0, len(lines)))
        lines[place : place + draw(st.integers(0, 1))] = [line]
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n" + body


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with some exchanged, added or left out."""
    raw = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.sampled_from([0, 1, 1, 2, 30])))
        part = draw(st.sampled_from(TOKENS) | st.binary(max_size=2))
        raw = raw[:start] + part + raw[end:]
    return raw


PLAIN = st.sampled_from(BODIES).map(signed)


@st.composite
def twins(draw: st.DrawFn) -> bytes:
    """A plain request, and another of the same size: in its head, bytes exchanged for as many."""
    raw = draw(PLAIN)
    part = draw(st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=4))
    start = draw(st.integers(0, raw.index(b"\r\n\r\n")))
    return raw + raw[:start] + part + raw[start + len(part) :]


WHOLE = PLAIN | st.sampled_from(BODIES).map(in_chunks) | st.just(HEALTH) | odd_heads()
MESSAGES = PLAIN | WHOLE | twins() | mutated(WHOLE) | st.binary(max_size=100)
STREAMS = st.lists(MESSAGES, min_size=1, max_size=4).map(b"".join).filter(bool)


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """A stream of bytes, split at random points."""
    stream = draw(STREAMS)
    cuts = draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=6))
    places = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(places) if a < b]
