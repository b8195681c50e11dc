"""The bytes of requests, signed ahead where the profile allows it.

Without verification the events need not differ, so a ring of requests is signed once and again only
when the signatures grow old; with it, every request is made when it is due.
"""

import gzip
import time
from random import Random
from urllib.parse import urlsplit

import msgspec

from core.auth import keyed
from loadtest.events import event
from loadtest.plan import Plan

RING = 512
RING_AGE_S = 60  # well within the window of 300 s
MIXED_BATCH_SHARE = 0.1
PATH = b"/api/v2/ingest"


class Request(msgspec.Struct, frozen=True, gc=False):
    """One signed request, with the numbers of the events in it."""

    raw: bytes
    first: int
    count: int
    expect: str = ""  # the answer, as "status code", if it must be refused
    name: str = ""  # of the kind of refusal


class Requests:
    """Makes the requests of one process."""

    def __init__(self, plan: Plan, process: int) -> None:
        self._plan = plan
        self._process = process
        self._random = Random(plan.seed * 1_000 + process)
        self._key = keyed(plan.secret)
        host = urlsplit(plan.url).netloc.encode()
        self._head = (
            b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
            b"X-Contox-Project: %s\r\n"
        ) % (PATH, host, plan.project.encode())
        self._ring: list[Request] = []
        self._ring_until_s = 0.0
        self._at = 0
        self.made = 0  # events

    def next(self) -> Request:
        """The next request."""
        if self._plan.verify:
            return self.make()
        if time.monotonic() >= self._ring_until_s:
            self._ring = [self.make() for _ in range(RING if self._batch() == 1 else 32)]
            self._ring_until_s = time.monotonic() + RING_AGE_S
        self._at = (self._at + 1) % len(self._ring)
        return self._ring[self._at]

    def make(self) -> Request:
        """A request with events that no other has."""
        plan, first, count = self._plan, self.made, self._batch()
        self.made += count
        texts = [
            event(plan.run, self._process, n, plan.payload_bytes)
            for n in range(first, first + count)
        ]
        text = texts[0] if count == 1 and plan.profile != "batch" else f"[{','.join(texts)}]"
        body = text.encode()
        if plan.gzip:
            return Request(self.sign(gzip.compress(body, 1), encoding=b"gzip"), first, count)
        return Request(self.sign(body), first, count)

    def sign(self, body: bytes, *, timestamp_s: int | None = None, encoding: bytes = b"") -> bytes:
        """The bytes of a signed request with this body."""
        timestamp = b"%d" % (time.time() if timestamp_s is None else timestamp_s)
        mac = self._key.mac(timestamp, body).hex().encode()
        extra = b"Content-Encoding: %s\r\n" % encoding if encoding else b""
        return (
            b"%s%sX-Contox-Timestamp: %s\r\nX-Contox-Signature: sha256=%s\r\n"
            b"Content-Length: %d\r\n\r\n%s"
        ) % (self._head, extra, timestamp, mac, len(body), body)

    def _batch(self) -> int:
        if self._plan.profile == "batch":
            return self._plan.batch_size
        if self._plan.profile == "mixed" and self._random.random() < MIXED_BATCH_SHARE:
            return self._plan.batch_size
        return 1
