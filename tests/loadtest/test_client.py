"""The sender against a stub that answers in every way there is; each request is counted once.

Answers are tables of bytes. Times are compared with the stub's own waits, by ratios.
"""

import asyncio
import time
from random import Random
from typing import Any

import pytest

from loadtest import client
from loadtest.client import split_reply
from loadtest.measure import Counts, Tally, new_histogram, percentiles_ms
from loadtest.plan import Profile
from tests.conftest import free_port
from tests.loadtest.conftest import (
    ACCEPTED,
    Answered,
    Serve,
    accept,
    numbers_of,
    plan_for,
    refusal,
    reply,
    send,
    sender_of,
    until,
)

BUSY = refusal(503, "backlog_full")
GONE = None
CLOSING = reply(202, ACCEPTED, b"Connection: close")
BATCH = (
    b'{"accepted":2,"eventIds":["a","b"],"rejected":[{"index":1,"error":"e","code":"c"},'
    b'{"index":2,"error":"e","code":"c"}],"sessionId":"s","status":"accepted"}'
)


def adds_up(counts: Counts) -> bool:
    """Whether what fell due is what came of it."""
    ends = counts.accepted + sum(counts.refused.values()) + counts.unknown
    return counts.offered == ends + counts.unanswered + counts.skipped


@pytest.mark.parametrize(
    ("raw", "status", "closes"),
    [
        (reply(), 202, False),
        (reply(503, b""), 503, False),
        (reply(400, b"close", b"X-Why: close"), 400, False),
        (reply(202, ACCEPTED, b"Connection: keep-alive"), 202, False),
        (CLOSING, 202, True),
        (reply(408, b"{}", b"CONNECTION:   close"), 408, True),
        (reply(202, b"x" * 70_000), 202, False),
        (b"HTTP/1.1 202 A\r\ncontent-length:2\r\n\r\n{}", 202, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, False),
    ],
)
def test_split_reply(raw: bytes, status: int, closes: bool) -> None:
    """A response is found at its last byte, not before, and what follows it is left."""
    body = raw.partition(b"\r\n\r\n")[2]
    for size in {*range(min(len(raw), 200)), len(raw) - 1}:
        assert split_reply(raw[:size]) is None
    for more in (b"", raw, b"HTTP/1.1 400"):
        assert split_reply(raw + more) == (status, body, len(raw), closes)


ANSWERS: dict[str, tuple[list[Answered], int, dict[str, Any]]] = {
    "202": ([reply()], 1, {"accepted": 1, "events": 1}),
    "400": ([refusal(400, "invalid_json")], 3, {"refused": {"400 invalid_json": 1}}),
    "401": ([refusal(401, "unauthorized")], 3, {"refused": {"401 unauthorized": 1}}),
    "no-json": ([reply(404, b"<html>")], 1, {"refused": {"404 no-json": 1}}),
    "no-body": ([reply(502, b"")], 1, {"refused": {"502 no-json": 1}}),
    "200": ([reply(200, b"{}")], 1, {"refused": {"200 ": 1}}),
    "503-then-202": ([BUSY, BUSY, reply()], 3, {"retried": 2, "accepted": 1, "events": 1}),
    "429-then-202": (
        [refusal(429, "rate_limited"), reply()],
        2,
        {"retried": 1, "accepted": 1, "events": 1},
    ),
    "503-at-last": ([BUSY], 3, {"retried": 2, "refused": {"503 backlog_full": 1}}),
    "503-once": ([BUSY], 1, {"refused": {"503 backlog_full": 1}}),
    "cut-then-202": (
        [GONE, reply()],
        2,
        {"connection_errors": 1, "retried": 1, "accepted": 1, "events": 1},
    ),
    "cut-at-last": ([GONE], 2, {"connection_errors": 2, "retried": 1, "unknown": 1}),
    "cut": ([GONE], 1, {"connection_errors": 1, "unknown": 1}),
    "cut-in-the-answer": (
        [[reply()[:-1], b""], reply()],
        2,
        {"connection_errors": 1, "retried": 1, "accepted": 1, "events": 1},
    ),
    "bytes": ([[reply()[n : n + 1] for n in range(len(reply()))]], 1, {"accepted": 1, "events": 1}),
    "closing": ([CLOSING], 1, {"accepted": 1, "events": 1}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request is counted by its final answer, and its further attempts as retries."""
    answers, attempts_max, expected = ANSWERS[name]
    seen: list[Answered] = []

    async def answer(_request: bytes) -> Answered:
        seen.append(answers[min(len(seen), len(answers) - 1)])
        return seen[-1]

    monkeypatch.setattr(client, "RETRY_S", 0.01)
    monkeypatch.setattr(client, "DROP_S", 0.01)
    timeout_s = 0.2 if name == "cut-in-the-answer" else 30.0
    stub = await serve(answer)
    plan = plan_for(
        stub.port,
        rate_s=10.0,
        duration_s=0.1,
        connections=1,
        attempts_max=attempts_max,
        request_timeout_s=timeout_s,
    )
    tally = await send(plan)
    assert numbers_of(tally.counts) == {"offered": 1, "sent": 1, **expected}
    assert tally.counts.sent_bytes == sum(map(len, stub.requests))
    assert len(set(stub.requests)) == 1, "a further attempt is the same request"
    assert len(tally.latencies_us) == tally.counts.accepted
