"""Outcomes fed by hand; whole runs with processes of their own against stubs.

Coordinated omission is shown here: one stall, seen by an open loop and slept through by a closed.
"""

import asyncio
import multiprocessing
import time
from itertools import pairwise

import pytest

from loadtest.measure import Bits, Latencies, percentiles_ms
from loadtest.plan import Plan
from loadtest.run import Outcome, run
from tests.loadtest.conftest import (
    Answer,
    Answered,
    Serve,
    accept,
    outcome_of,
    plan_for,
    reply,
    told,
)


def watch(_outcome: Outcome) -> None:
    """Nobody looks."""


def test_two_processes() -> None:
    """What processes tell adds up; of each the latest counts are the ones that count."""
    outcome = outcome_of(
        plan_for(),
        told(0, elapsed_s=0.6, accepted=10, events=20, latencies_us=[1_000] * 10),
        told(1, elapsed_s=0.7, accepted=1, events=2, refused={"503 a": 1}),
        told(0, elapsed_s=1.6, accepted=30, events=60, latencies_us=[9_000] * 20, cpu_s=0.8),
        told(1, elapsed_s=1.7, accepted=3, events=6, refused={"503 a": 2, "400 b": 1}, cpu_s=1.7),
    )
    counts = outcome.counts
    assert (counts.accepted, counts.events) == (33, 66)
    assert counts.refused == {"503 a": 2, "400 b": 1}
    assert outcome.elapsed_s == 1.7
    assert outcome.cpu_share == {0: 0.5, 1: 1.0}
    assert len(outcome.latencies) == 30
    assert percentiles_ms(outcome.latencies)["p50"] == pytest.approx(9, rel=0.01)


def test_seconds() -> None:
    """Each second has what was answered in it: requests, events, errors, latencies."""
    outcome = outcome_of(
        plan_for(),
        told(0, elapsed_s=-1.0),
        told(0, elapsed_s=0.5, accepted=5, events=5, latencies_us=[1_000] * 5),
        told(1, elapsed_s=0.9, accepted=2, events=8, latencies_us=[3_000] * 2),
        told(0, elapsed_s=1.0, accepted=9, events=9, latencies_us=[1_000] * 4),
        told(0, elapsed_s=1.5, accepted=10, events=10, unknown=1, connection_errors=2),
        told(1, elapsed_s=2.4, accepted=3, events=9, refused={"503 a": 4}),
    )
    found = [(s.at_s, s.requests, s.events, s.errors) for s in outcome.seconds()]
    assert found == [(0, 11, 17, 0), (1, 1, 1, 3), (2, 1, 1, 4)]
    first = outcome.seconds()[0]
    assert (first.p50_ms, first.max_ms) == (pytest.approx(1, rel=0.01), pytest.approx(3, rel=0.01))
    assert outcome.seconds()[2].p99_ms == 0


def test_seconds_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a run often costs no more than looking at what is new."""
    worked_out = []

    def count(latencies: Latencies) -> dict[str, float]:
        worked_out.append(latencies)
        return percentiles_ms(latencies)

    monkeypatch.setattr("loadtest.run.percentiles_ms", count)
    outcome = outcome_of(plan_for(), told(0, elapsed_s=0.5), told(0, elapsed_s=1.5, accepted=1))
    for _ in range(3):
        assert [s.requests for s in outcome.seconds()] == [0, 1]
    assert len(worked_out) == 2
    outcome.add(told(0, elapsed_s=1.6, accepted=5))
    assert [s.requests for s in outcome.seconds()] == [0, 5]
    assert len(worked_out) == 3


def test_last_word() -> None:
    """With its last word a process says what it made, and which of it was acknowledged."""
    outcome = outcome_of(
        plan_for(), told(0), told(1, last=True, acknowledged=range(2, 5)), told(0, elapsed_s=2.0)
    )
    assert outcome.made == {1: 5}
    assert len(outcome.acknowledged[1]) == 3


@pytest.mark.parametrize(("cpu_s", "saturated"), [(0.85, False), (0.95, True)])
def test_saturated(cpu_s: float, saturated: bool) -> None:
    """A sender that used about a whole core is said to be the limit, if only one of them did."""
    outcome = outcome_of(plan_for(), told(0, cpu_s=0.1), told(1, cpu_s=cpu_s))
    assert outcome.saturated is saturated


async def test_run(serve: Serve) -> None:
    """A run sends what is planned, from all its processes, and tells of its progress."""
    stub = await serve(accept)
    plan = plan_for(
        stub.port, processes=2, rate_s=200.0, duration_s=1.0, arrivals="poisson", verify=True
    )
    seen: list[float] = []
    before_s = time.time()
    outcome = await asyncio.to_thread(run, plan, lambda outcome: seen.append(outcome.elapsed_s))
    counts = outcome.counts
    assert not outcome.partial
    assert outcome.started_s == pytest.approx(before_s + 1.5, abs=1)
    assert counts.offered == counts.accepted == len(stub.requests) == sum(outcome.made.values())
    assert 120 < counts.offered < 280
    assert outcome.made[0] != outcome.made[1], "each process has a schedule of its own"
    for process, made in outcome.made.items():
        acknowledged = Bits()
        acknowledged.add_range(0, made)
        assert outcome.acknowledged[process].minus(acknowledged, 1) == (0, [])
        assert len(outcome.acknowledged[process]) == made
    assert len(seen) >= 3
    assert all(before <= after for before, after in pairwise(seen))
    assert sum(second.requests for second in outcome.seconds()) == counts.accepted
    assert multiprocessing.active_children() == []


async def test_ctrl_c(serve: Serve) -> None:
    """Ctrl-C ends a run with what there is: partial, all counted, and no process left."""
    stub = await serve(accept)
    plan = plan_for(stub.port, processes=2, duration_s=60.0, verify=True)

    def interrupt(outcome: Outcome) -> None:
        if outcome.counts.accepted and not outcome.partial:
            raise KeyboardInterrupt

    outcome = await asyncio.to_thread(run, plan, interrupt)
    assert outcome.partial
    assert outcome.elapsed_s < 50
    counts = outcome.counts
    assert 0 < counts.accepted == counts.offered == sum(outcome.made.values())
    assert sum(map(len, outcome.acknowledged.values())) == counts.accepted
    assert multiprocessing.active_children() == []


async def test_killed_sender(serve: Serve) -> None:
    """A sending process that dies makes the outcome partial; the run ends all the same."""
    stub = await serve(accept)

    def kill(outcome: Outcome) -> None:
        if outcome.counts.accepted:
            for child in multiprocessing.active_children():
                child.kill()

    outcome = await asyncio.to_thread(run, plan_for(stub.port, duration_s=60.0), kill)
    assert outcome.partial
    assert outcome.counts.accepted > 0
    assert outcome.made == {}
    assert multiprocessing.active_children() == []


def stalling(at_s: float, stall_s: float) -> Answer:
    """A stub's answer that says nothing for a while, from some time after the first request."""
    first_s: list[float] = []

    async def answer(_request: bytes) -> Answered:
        now_s = time.monotonic()
        first_s.append(now_s)
        until_s = first_s[0] + at_s + stall_s
        await asyncio.sleep(until_s - now_s if until_s - stall_s <= now_s < until_s else 0.005)
        return reply()

    return answer


async def test_coordinated_omission(serve: Serve) -> None:
    """A stall of a second is in an open loop's p99.9, and a closed loop's p99 knows nothing."""

    async def measured(plan: Plan) -> dict[str, float]:
        outcome = await asyncio.to_thread(run, plan, watch)
        assert outcome.counts.accepted > 500
        return percentiles_ms(outcome.latencies)

    stubs = [await serve(stalling(1.2, 1.0)) for _ in range(2)]
    opened, closed = await asyncio.gather(
        measured(plan_for(stubs[0].port, rate_s=300.0, duration_s=3.5, connections=50)),
        measured(plan_for(stubs[1].port, rate_s=None, duration_s=3.5, connections=4)),
    )
    assert 900 < opened["p99.9"] < 2_500
    assert opened["p90"] > 400, "two sevenths of what fell due met the stall"
    assert closed["p99"] < 300
    assert closed["max"] > 900, "it is in there: four requests of thousands"
