"""Requests that a gateway must refuse, each with the answer that the contract gives it.

Those that fit on one connection are mixed into the load at a set share. Two kinds need connections
of their own, and run beside it: bodies that never arrive whole, and clients that leave before the
answer.
"""

import asyncio
import gzip
import time
from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

from loadtest.measure import count_one
from loadtest.requests import Request, Requests

BOMB_BYTES = 64 << 20  # decoded; a gateway stops at its limit of 8 MiB
OVERSIZE_BYTES = 1 << 30  # announced, never sent
STALE_S = 3_600
ASIDE_S = 0.5  # between two clients of the kinds that run beside the load
SLOW_BODY_S = 20.0  # longer than a gateway's patience of 15 s
EVENT = b'{"event":"loadtest","payload":{}}'


class Kind(NamedTuple):
    """One way to be hostile."""

    name: str
    expect: str  # "status code"
    make: Callable[[Requests], bytes]


def _bad_signature(requests: Requests) -> bytes:
    raw = requests.sign(EVENT)
    start = raw.index(b"sha256=") + 7
    return raw[:start] + b"0" * 64 + raw[start + 64 :]


def _stale(requests: Requests) -> bytes:
    return requests.sign(EVENT, timestamp_s=int(time.time()) - STALE_S)


def _malformed(requests: Requests) -> bytes:
    return requests.sign(b'{"event":"loadtest","payload":{')


def _deep(requests: Requests) -> bytes:
    return requests.sign(b"[" * 100_000)


def _oversize(requests: Requests) -> bytes:
    raw = requests.sign(EVENT)
    length = b"Content-Length: %d" % len(EVENT)
    return raw.replace(length, b"Content-Length: %d" % OVERSIZE_BYTES)


def _bomb(requests: Requests) -> bytes:
    return requests.sign(_packed(), encoding=b"gzip")


@cache
def _packed() -> bytes:
    """The bomb's bytes; made once, and only where it is wanted."""
    return gzip.compress(b'{"event":"loadtest","payload":{"x":"' + bytes(BOMB_BYTES), 9)


KINDS = (
    Kind("bad signature", "401 unauthorized", _bad_signature),
    Kind("stale timestamp", "401 unauthorized", _stale),
    Kind("malformed JSON", "400 invalid_json", _malformed),
    Kind("nested too deep", "400 invalid_json", _deep),
    Kind("oversize body", "413 too_large", _oversize),
    Kind("gzip bomb", "413 too_large", _bomb),
)


class Mixed:
    """Mixes hostile requests into good ones, at a share and by a seed."""

    def __init__(self, requests: Requests, *, share: float, seed: int) -> None:
        self._requests = requests
        self._share = share
        self._random = Random(seed)

    def next(self) -> Request:
        """A good request, or a hostile one of a random kind."""
        if self._random.random() >= self._share:
            return self._requests.next()
        kind = self._random.choice(KINDS)
        return Request(kind.make(self._requests), 0, 0, kind.expect, kind.name)


async def slow_bodies(host: str, port: int, requests: Requests, wrong: dict[str, int]) -> None:
    """Open connections whose bodies stop half-way; each must be answered 408 in time.

    Runs until cancelled. wrong: counts, by name, of answers that the contract does not give.
    """
    while True:
        await asyncio.sleep(ASIDE_S)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(requests.sign(EVENT)[:-5])
            answer = await asyncio.wait_for(reader.read(64), SLOW_BODY_S)
            if b" 408 " not in answer:
                count_one(wrong, f"slow body: {answer[9:12].decode('latin-1') or 'no answer'}")
        except (OSError, TimeoutError) as error:
            count_one(wrong, f"slow body: {type(error).__name__}")
        finally:
            writer.close()


async def vanishing_clients(host: str, port: int, requests: Requests) -> None:
    """Send requests and leave before the answer, whole and half-sent by turns. Until cancelled."""
    whole = True
    while True:
        await asyncio.sleep(ASIDE_S)
        _, writer = await asyncio.open_connection(host, port)
        raw = requests.sign(b"[]")
        writer.write(raw if whole else raw[:-1])
        writer.transport.abort()
        whole = not whole
