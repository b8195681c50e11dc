"""Finding the knee: the highest rate whose p99 stays under a limit, with nothing refused."""

from collections.abc import Callable

from loadtest.measure import percentiles_ms
from loadtest.report import Trial
from loadtest.run import Outcome

DOUBLINGS_MAX = 12
BISECTIONS = 4
KEPT_UP = 0.98  # share of the offered rate that must have been accepted


def find_knee(first_rate_s: float, measure: Callable[[float], Trial]) -> list[Trial]:
    """Double the rate until a trial is not good, then halve the gap to the last good one.

    measure: runs one trial at a rate. Returns all trials in the order they were run; the knee is
    the best of the good ones.
    """
    trials = [measure(first_rate_s)]
    while trials[-1].good and len(trials) <= DOUBLINGS_MAX:
        trials.append(measure(trials[-1].rate_s * 2))
    low = max((t.rate_s for t in trials if t.good), default=0.0)
    high = min((t.rate_s for t in trials if not t.good), default=0.0)
    if not low or not high:
        return trials
    for _ in range(BISECTIONS):
        trials.append(measure((low + high) / 2))
        low, high = (trials[-1].rate_s, high) if trials[-1].good else (low, trials[-1].rate_s)
    return trials


def knee(trials: list[Trial]) -> Trial | None:
    """The good trial with the highest rate; None if there is none."""
    return max((t for t in trials if t.good), key=lambda t: t.rate_s, default=None)


def judge(outcome: Outcome, p99_ms: float) -> Trial:
    """The trial that an open loop's outcome is: good if nothing failed and p99 is in the limit."""
    counts, plan = outcome.counts, outcome.plan
    assert plan.rate_s is not None
    errors = sum(counts.refused.values()) + counts.unknown + counts.unanswered + counts.skipped
    measured_ms = percentiles_ms(outcome.latencies)["p99"]
    accepted_s = counts.accepted / plan.duration_s
    good = not errors and measured_ms <= p99_ms and accepted_s >= KEPT_UP * plan.rate_s
    return Trial(plan.rate_s, accepted_s, measured_ms, errors, good)
