"""The sender while its target is away, stalls or says to come back: what becomes of requests."""

import asyncio
import time
from itertools import pairwise

import pytest

from loadtest import client
from loadtest.measure import Tally
from tests.conftest import free_port
from tests.loadtest.conftest import (
    Answered,
    Serve,
    accept,
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


async def test_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to a target that is not there are offered and never sent; each try is an error."""
    monkeypatch.setattr(client, "FINISH_S", 0.2)
    tally = await send(plan_for(free_port(), connections=2))
    assert tally.counts.connection_errors >= 4
    tally.counts.connection_errors = 0
    assert numbers_of(tally.counts) == {"offered": 10, "unanswered": 10}


async def test_target_that_comes_back(serve: Serve) -> None:
    """Once a target is there again, what waited is sent; its latency counts from its due time."""
    stub = await serve(accept)
    tally = Tally(remember=False)
    plan = plan_for(stub.port, duration_s=0.5, connections=2)
    sending = asyncio.create_task(sender_of(plan, tally).run(time.perf_counter() + 0.05))
    await until(lambda: tally.counts.accepted > 0)
    await stub.stop()
    await asyncio.sleep(0.3)
    await stub.start(stub.port)
    await sending
    assert tally.counts.accepted + tally.counts.unknown == 50
    assert tally.counts.connection_errors > 0
    assert max(tally.latencies_us) > 150_000


async def test_rides_through_an_outage(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With retries, everything that fell due while the target was away is accepted in the end."""
    monkeypatch.setattr(client, "RETRY_S", 0.01)
    stub = await serve(accept)
    tally = Tally(remember=False)
    plan = plan_for(stub.port, duration_s=0.5, connections=2, attempts_max=1_000)
    sending = asyncio.create_task(sender_of(plan, tally).run(time.perf_counter() + 0.05))
    await until(lambda: tally.counts.accepted > 0)
    await stub.stop()
    await asyncio.sleep(1)
    await stub.start(stub.port)
    await sending
    assert tally.counts.accepted == tally.counts.offered == 50
    assert tally.counts.connection_errors > 0


async def test_waits_longer_each_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait before a further attempt doubles up to a bound."""
    monkeypatch.setattr(client, "RETRY_S", 0.05)
    monkeypatch.setattr(client, "RETRY_MAX_S", 0.2)
    seen_s = []

    async def answer(_request: bytes) -> Answered:
        seen_s.append(time.perf_counter())
        return BUSY

    stub = await serve(answer)
    await send(plan_for(stub.port, rate_s=10.0, connections=1, attempts_max=5))
    waits = [after - before for before, after in pairwise(seen_s)]
    assert len(waits) == 4
    for wait_s, wanted_s in zip(waits, (0.05, 0.1, 0.2, 0.2), strict=True):
        assert wanted_s <= wait_s + 0.005 < wanted_s + 0.15


async def test_stalled_at_the_end(serve: Serve) -> None:
    """An answer overdue after the last request fell due is tried again, too."""
    stub = await serve(in_turn([], reply()))
    plan = plan_for(stub.port, rate_s=10.0, connections=1, attempts_max=2, request_timeout_s=0.3)
    tally = await send(plan)
    assert (tally.counts.accepted, tally.counts.retried) == (1, 1)
