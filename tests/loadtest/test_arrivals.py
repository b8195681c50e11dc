"""Schedules as lists of numbers: the spacing of one kind, the distribution of the other."""

import math
from itertools import islice, pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.arrivals import arrivals
from loadtest.plan import Arrivals


@pytest.mark.parametrize(
    ("rate_s", "duration_s", "count"),
    [(100, 1, 100), (7, 3, 21), (0.5, 10, 5), (1, 1, 1), (333.25, 4, 1333), (20_000, 2, 40_000)],
)
def test_constant(rate_s: float, duration_s: float, count: int) -> None:
    """Constant arrivals begin at once, are one period apart, and are as many as rate x time."""
    dues = list(arrivals("constant", rate_s, duration_s, seed=0))
    assert len(dues) == count
    assert dues[0] == 0
    assert all(math.isclose(later - due, 1 / rate_s, rel_tol=1e-6) for due, later in pairwise(dues))


def test_constant_knows_no_seed() -> None:
    """The seed changes nothing about constant arrivals."""
    first, second = (list(arrivals("constant", 10, 5, seed)) for seed in (1, 2))
    assert first == second


def test_poisson() -> None:
    """The gaps of Poisson arrivals are exponential: mean and deviation are one period."""
    dues = list(arrivals("poisson", 500, 40, seed=3))
    gaps = [later - due for due, later in pairwise(dues)]
    assert len(dues) == pytest.approx(20_000, rel=0.03)
    assert fmean(gaps) == pytest.approx(1 / 500, rel=0.03)
    assert pstdev(gaps) == pytest.approx(1 / 500, rel=0.05)
    shorter = sum(gap < 1 / 500 for gap in gaps) / len(gaps)
    assert shorter == pytest.approx(1 - 1 / math.e, abs=0.02)


def test_poisson_begins_at_random() -> None:
    """The first Poisson arrival is no more at the start than any other is at a fixed place."""
    firsts = [next(arrivals("poisson", 10, 100, seed)) for seed in range(300)]
    assert fmean(firsts) == pytest.approx(0.1, rel=0.2)


def test_seed() -> None:
    """A seed gives the same times again, and another one gives others."""
    first, again, other = (list(arrivals("poisson", 100, 5, seed)) for seed in (7, 7, 8))
    assert first == again
    assert not set(first) & set(other)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
@settings(deadline=None, database=None)
@given(
    rate_s=st.floats(0.1, 3_000),
    duration_s=st.floats(0.01, 1),
    seed=st.integers(0, 1 << 40),
)
def test_within_the_duration(kind: Arrivals, rate_s: float, duration_s: float, seed: int) -> None:
    """Times ascend from the start on, and nothing is due at or after the duration."""
    dues = list(arrivals(kind, rate_s, duration_s, seed))
    assert dues == sorted(set(dues))
    assert all(0 <= due < duration_s for due in dues)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_lazy(kind: Arrivals) -> None:
    """A schedule is made as it is used: years of it cost nothing ahead."""
    assert len(list(islice(arrivals(kind, 1e6, 1e9, seed=0), 3))) == 3
