"""The sender against a stub that answers in every way there is; each request is counted once.

Answers are tables of bytes. Times are compared with the stub's own waits, by ratios.
"""

import asyncio
import time
from random import Random
from typing import Any

import pytest

from loadtest import client
from loadtest.measure import Counts, Tally
from loadtest.plan import Profile
from tests.loadtest.conftest import (
    ACCEPTED,
    START_S,
    Answered,
    Serve,
    accept,
    always,
    in_turn,
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
        [[reply()[:-1], GONE], reply()],
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
    monkeypatch.setattr(client, "RETRY_S", 0.01)
    stub = await serve(in_turn(*answers))
    plan = plan_for(stub.port, rate_s=10.0, connections=1, attempts_max=attempts_max)
    tally = await send(plan)
    assert numbers_of(tally.counts) == {"offered": 1, "sent": 1, **expected}
    assert tally.counts.sent_bytes == sum(map(len, stub.requests))
    assert len(set(stub.requests)) == 1, "a further attempt is the same request"
    assert len(tally.latencies_us) == tally.counts.accepted


async def test_partial_batch(serve: Serve) -> None:
    """Of a batch that was accepted in part, only what was not rejected counts as acknowledged."""
    stub = await serve(always(reply(202, BATCH)))
    plan = plan_for(stub.port, profile="batch", batch_size=4, rate_s=20.0, verify=True)
    tally = await send(plan)
    assert numbers_of(tally.counts) == {"offered": 2, "sent": 2, "accepted": 2, "events": 4}
    assert tally.acknowledged is not None
    assert [n in tally.acknowledged for n in range(9)] == [True, False, False, True] * 2 + [False]


@pytest.mark.parametrize("rejected", [b'"rejected":[]', b'"rejected": []', b'"more":1'])
async def test_whole_batch(serve: Serve, rejected: bytes) -> None:
    """A batch without rejected events is acknowledged whole, however the answer is spaced."""
    stub = await serve(always(reply(202, b'{"accepted":3,"eventIds":["a","b","c"],%s}' % rejected)))
    tally = await send(plan_for(stub.port, profile="batch", batch_size=3, rate_s=20.0, verify=True))
    assert tally.counts.events == 6
    assert tally.acknowledged is not None
    assert [n in tally.acknowledged for n in range(7)] == [True] * 6 + [False]


async def test_refused_is_not_acknowledged(serve: Serve) -> None:
    """Only a 202 acknowledges: neither a refusal nor a cut connection does."""
    stub = await serve(in_turn(reply(), refusal(400, "invalid_event"), GONE, reply()))
    tally = await send(plan_for(stub.port, rate_s=40.0, connections=1, verify=True))
    assert tally.acknowledged is not None
    assert [n in tally.acknowledged for n in range(5)] == [True, False, False, True, False]


async def test_connection_close(serve: Serve) -> None:
    """A connection that the server closes after an answer is not used again, and is no error."""
    stub = await serve(always(CLOSING))
    tally = await send(plan_for(stub.port, rate_s=50.0, duration_s=0.2, connections=2))
    assert numbers_of(tally.counts) == {"offered": 10, "sent": 10, "accepted": 10, "events": 10}
    assert stub.opened >= 10


async def test_kept_connections(serve: Serve) -> None:
    """Connections are opened once, all of them, and used over and over."""
    stub = await serve(accept)
    tally = await send(plan_for(stub.port, rate_s=500.0, connections=3))
    assert (tally.counts.accepted, stub.opened) == (50, 3)


async def test_one_at_a_time(serve: Serve) -> None:
    """A connection carries one request at a time; what falls due meanwhile waits its turn."""
    under_way, most = 0, 0

    async def answer(_request: bytes) -> Answered:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return reply()

    stub = await serve(answer)
    tally = await send(plan_for(stub.port, rate_s=200.0, duration_s=0.05, connections=2))
    assert (tally.counts.accepted, most) == (10, 2)
    latencies_s = [latency_us / 1e6 for latency_us in tally.latencies_us]
    assert min(latencies_s) > 0.045
    assert max(latencies_s) > 0.2, "the last of ten waited for four others, due at 45 ms"


async def test_late_sender(serve: Serve) -> None:
    """A sender that is held up itself counts latency from when requests fell due, not from then."""
    holds = iter([True])

    async def answer(_request: bytes) -> Answered:
        if next(holds, False):
            time.sleep(0.4)  # holds up the sender too: it is on the same loop
        return reply()

    stub = await serve(answer)
    tally = await send(plan_for(stub.port, duration_s=0.6))
    late = [latency_us for latency_us in tally.latencies_us if latency_us > 50_000]
    assert len(late) > 25, "40 requests fell due meanwhile, and 35 of them more than 50 ms ago"


async def test_no_answer_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without an answer in time is lost with its connection; the others go on."""
    stalls = iter([True])

    async def answer(_request: bytes) -> Answered:
        if next(stalls, False):
            await asyncio.sleep(60)
        return reply()

    monkeypatch.setattr(client, "DROP_S", 0.02)
    stub = await serve(answer)
    plan = plan_for(stub.port, rate_s=20.0, duration_s=1.5, connections=2, request_timeout_s=0.8)
    tally = await send(plan)
    assert numbers_of(tally.counts) == {
        "offered": 30,
        "sent": 30,
        "accepted": 29,
        "events": 29,
        "connection_errors": 1,
        "unknown": 1,
    }
    assert stub.opened == 3


async def test_never_answered(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no answer when the run ends is waited for a bounded time, and counted."""
    monkeypatch.setattr(client, "FINISH_S", 0.2)
    stub = await serve(always(reply(), 60))
    begun_s = time.perf_counter()
    tally = await send(plan_for(stub.port, connections=2))
    assert time.perf_counter() - begun_s < 5
    assert numbers_of(tally.counts) == {"offered": 10, "sent": 2, "unanswered": 10}


async def test_last_answers_are_waited_for(serve: Serve) -> None:
    """An answer that comes after the last request fell due still counts."""
    stub = await serve(always(reply(), 0.3))
    tally = await send(plan_for(stub.port, connections=10))
    assert numbers_of(tally.counts) == {"offered": 10, "sent": 10, "accepted": 10, "events": 10}


async def test_what_is_due_goes_with_an_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has fallen due while the sender slept goes out as soon as an answer has come."""
    monkeypatch.setattr(client, "PUMP_S", 1_000)
    stub, tally = await serve(always(reply(), 0.05)), Tally(remember=False)
    sender = sender_of(plan_for(stub.port), tally)
    sender._schedule = iter([0.0, 0.001, 0.002])
    sending = asyncio.create_task(sender.run(time.perf_counter() + START_S))
    await until(lambda: tally.counts.accepted == 3)
    assert tally.counts.offered == tally.counts.sent == 3
    sending.cancel()


async def test_too_much_waits(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What falls due while too much waits already is skipped, and counted as that."""
    monkeypatch.setattr(client, "WAITING_MAX", 5)
    stub = await serve(always(reply(), 0.2))
    tally = await send(plan_for(stub.port, rate_s=200.0, connections=1))
    assert tally.counts.skipped >= 10
    assert adds_up(tally.counts)


@pytest.mark.parametrize("rate_s", [2_000.0, None], ids=["open", "closed"])
@pytest.mark.parametrize("profile", ["single", "batch", "mixed"])
async def test_counts_add_up(serve: Serve, profile: Profile, rate_s: float | None) -> None:
    """Whatever a target does, each request that fell due has come to exactly one end."""
    random, late = Random(4), reply()
    ways = [reply(), reply(202, BATCH), BUSY, refusal(400, "invalid_event"), CLOSING, GONE, late]

    async def answer(_request: bytes) -> Answered:
        way = random.choices(ways, weights=[50, 5, 5, 5, 3, 3, 3])[0]
        await asyncio.sleep(0.1 if way is late else 0.001)
        return way

    stub = await serve(answer)
    plan = plan_for(
        stub.port, profile=profile, batch_size=4, rate_s=rate_s, duration_s=0.7, connections=20
    )
    tally = await send(plan)
    counts = tally.counts
    assert adds_up(counts)
    assert rate_s is None or counts.offered == 1_400
    ends = {"accepted", "connection_errors", "events", "offered", "refused", "sent", "unknown"}
    assert numbers_of(counts).keys() == ends
    assert counts.refused.keys() == {"503 backlog_full", "400 invalid_event"}
    assert len(tally.latencies_us) == counts.accepted
    assert counts.sent == len(stub.requests)


async def test_closed_loop(serve: Serve) -> None:
    """Without a rate each connection sends its next request when the last is answered."""
    stub = await serve(always(reply(), 0.02))
    tally = await send(plan_for(stub.port, rate_s=None, duration_s=0.5, connections=3))
    counts = tally.counts
    assert counts.offered == counts.sent == counts.accepted
    assert 10 <= counts.accepted <= 3 * 26
    assert stub.opened == 3


@pytest.mark.parametrize("rate_s", [100.0, None], ids=["open", "closed"])
async def test_halt(serve: Serve, rate_s: float | None) -> None:
    """A halt ends the load at once; what is under way is still answered and counted."""
    stub = await serve(always(reply(), 0.2))
    tally = Tally(remember=False)
    sender = sender_of(plan_for(stub.port, rate_s=rate_s, duration_s=60.0), tally)
    sending = asyncio.create_task(sender.run(time.perf_counter() + START_S))
    await until(lambda: tally.counts.sent >= 4)
    sender.halt()
    await asyncio.wait_for(sending, 10)
    assert tally.counts.accepted == tally.counts.offered <= 100
