"""The search against targets whose knee is known; trials judged from outcomes that were fed."""

from collections.abc import Callable

import pytest

from loadtest.report import Trial
from loadtest.sweep import DOUBLINGS_MAX, find_knee, judge, knee
from tests.loadtest.conftest import outcome_of, plan_for, told


def target(knee_s: float, tried: list[float] | None = None) -> Callable[[float], Trial]:
    """A target that is good up to a rate."""

    def measure(rate_s: float) -> Trial:
        if tried is not None:
            tried.append(rate_s)
        good = rate_s <= knee_s
        return Trial(rate_s, min(rate_s, knee_s), 5.0 if good else 900.0, 0 if good else 7, good)

    return measure


@pytest.mark.parametrize("first_s", [1.0, 100.0, 999.0])
@pytest.mark.parametrize("knee_s", [1_000.0, 1_234.5, 1_999.0, 2_000.0, 2_900.0, 4_095.0])
def test_knee(first_s: float, knee_s: float) -> None:
    """The knee that is found is one the target can do, at most 10 % below its real one."""
    best = knee(find_knee(first_s, target(knee_s)))
    assert best is not None
    assert 0.9 * knee_s <= best.rate_s <= knee_s


def test_steps() -> None:
    """The rate doubles up to the first trial that is too much, then halves the gap."""
    tried: list[float] = []
    trials = find_knee(1_000, target(6_800, tried))
    assert tried == [1_000, 2_000, 4_000, 8_000, 6_000, 7_000, 6_500, 6_750]
    assert [trial.rate_s for trial in trials] == tried
    assert [trial.good for trial in trials] == [rate <= 6_800 for rate in tried]


def test_first_is_too_much() -> None:
    """If the first rate is too much there is no knee, and nothing more is tried."""
    trials = find_knee(1_000, target(999))
    assert [trial.rate_s for trial in trials] == [1_000]
    assert knee(trials) is None


def test_never_too_much() -> None:
    """A target that is always good ends the search after a bounded number of doublings."""
    trials = find_knee(1, target(float("inf")))
    assert len(trials) == DOUBLINGS_MAX + 1
    best = knee(trials)
    assert best is not None
    assert best.rate_s == 2**DOUBLINGS_MAX


def test_no_trials() -> None:
    """Without trials there is no knee."""
    assert knee([]) is None


@pytest.mark.parametrize(
    ("counted", "slow", "expected"),
    [
        ({"accepted": 1_000}, 0, (0, True)),
        ({"accepted": 980}, 0, (0, True)),
        ({"accepted": 979}, 0, (0, False)),
        ({"accepted": 1_000}, 9, (0, True)),
        ({"accepted": 1_000}, 20, (0, False)),
        ({"accepted": 999, "refused": {"503 backlog_full": 1}}, 0, (1, False)),
        ({"accepted": 999, "unknown": 1}, 0, (1, False)),
        ({"accepted": 999, "unanswered": 1}, 0, (1, False)),
        ({"accepted": 999, "skipped": 1}, 0, (1, False)),
        ({"accepted": 1_000, "retried": 3, "connection_errors": 2}, 0, (0, True)),
        ({}, 0, (0, False)),
    ],
)
def test_judge(counted: dict[str, object], slow: int, expected: tuple[int, bool]) -> None:
    """A trial is good if p99 is in the limit, nothing failed and the rate was kept up."""
    latencies_us = [10_000] * (1_000 - slow) + [80_000] * slow
    plan = plan_for(rate_s=500.0, duration_s=2.0)
    trial = judge(outcome_of(plan, told(latencies_us=latencies_us, **counted)), 50.0)
    assert (trial.errors, trial.good) == expected
    assert (trial.rate_s, trial.accepted_s) == (500, counted.get("accepted", 0) / 2)  # type: ignore[operator]
    assert trial.p99_ms == pytest.approx(80 if slow > 10 else 10, rel=0.01)


@pytest.mark.parametrize(("limit_ms", "good"), [(9.9, False), (10.1, True)])
def test_limit(limit_ms: float, good: bool) -> None:
    """The limit is on p99, in milliseconds."""
    plan = plan_for(rate_s=500.0, duration_s=2.0)
    outcome = outcome_of(plan, told(latencies_us=[10_000] * 1_000, accepted=1_000))
    assert judge(outcome, limit_ms).good is good
