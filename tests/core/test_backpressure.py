"""Bounds with hysteresis and the rate of draining, on numbers: no queue, and time is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backpressure import AVERAGE_S, Bound, DrainRate, retry_after_s


def test_bound_has_hysteresis() -> None:
    """Reached at the bound itself, left at nine tenths of it, and between the two as it was."""
    bound = Bound(100)
    seen = []
    for level in (99, 100, 99, 91, 90, 91, 99, 101):
        bound.update(level)
        seen.append(bound.reached)
    assert seen == [False, True, True, True, False, False, False, True]


def test_small_bound() -> None:
    """A bound of 1 is left when nothing is there."""
    bound = Bound(1)
    bound.update(1)
    assert bound.reached
    bound.update(0)
    assert not bound.reached


def test_no_bound() -> None:
    """A bound of 0 is never reached."""
    bound = Bound(0)
    bound.update(10**12)
    assert not bound.reached


def test_excess() -> None:
    """What must go is what is above nine tenths of the bound; nothing, if it is not reached."""
    bound = Bound(100)
    bound.update(99)
    assert bound.excess() == 0
    bound.update(120)
    assert bound.excess() * 120 == pytest.approx(30)


def test_steady_drain() -> None:
    """A steady rate is measured from the second sample on, however much is added meanwhile."""
    rate, entries, added = DrainRate(), 1_000, 5_000
    rate.observe(entries, added, 0)
    assert rate.entries_s == 0
    for number in range(1, 20):
        entries, added = entries + 20, added + 70  # so that 50 leave in half a second
        rate.observe(entries, added, number / 2)
        assert rate.entries_s == pytest.approx(100)


def test_change_is_followed() -> None:
    """A drain that stops is forgotten by about two thirds within the average's time."""
    rate = DrainRate()
    rate.observe(1_000, 1_000, 0)
    rate.observe(900, 1_000, 1)
    rate.observe(900, 1_000, 1 + AVERAGE_S)
    assert rate.entries_s == pytest.approx(100 * 0.368, rel=0.01)


def test_unknown_counter_is_bridged() -> None:
    """While the server does not know its counter nothing is measured; afterwards all of it is."""
    rate = DrainRate()
    rate.observe(1_000, 1_000, 0)
    rate.observe(950, None, 1)
    rate.observe(800, 1_000, 2)
    assert rate.entries_s == 100


@pytest.mark.parametrize(
    ("entries", "added"),
    [
        pytest.param(0, 0, id="stream deleted"),
        pytest.param(7, 7, id="stream made anew"),
        pytest.param(1_500, 1_100, id="more than was added"),
    ],
)
def test_counter_that_went_back(entries: int, added: int) -> None:
    """An interval whose numbers cannot be is left out, and measuring goes on from there."""
    rate = DrainRate()
    rate.observe(1_100, 1_000, 0)
    rate.observe(1_000, 1_000, 1)
    rate.observe(entries, added, 2)
    assert rate.entries_s == 100
    rate.observe(entries, added + 100, 3)
    assert rate.entries_s == pytest.approx(100)


def test_no_time_has_passed() -> None:
    """Two samples at the same instant give no rate."""
    rate = DrainRate()
    rate.observe(10, 10, 5)
    rate.observe(0, 10, 5)
    assert rate.entries_s == 0


@pytest.mark.parametrize(
    ("entries", "entries_s", "wait_s"),
    [
        pytest.param(1_000, 0, 30, id="no rate yet"),
        pytest.param(0, 100, 30, id="nothing to drain: something else fills the queue"),
        pytest.param(1_000, 100, 10, id="ten seconds"),
        pytest.param(1_001, 100, 11, id="whole seconds, upwards"),
        pytest.param(1, 1_000, 1, id="at least one"),
        pytest.param(10**9, 0.001, 60, id="at most a minute"),
    ],
)
def test_retry_after(entries: float, entries_s: float, wait_s: int) -> None:
    """The time to drain, in whole seconds from 1 to 60; 30 if it is not known."""
    assert retry_after_s(entries, entries_s) == wait_s


@given(st.lists(st.tuples(st.integers(0, 10**6), st.none() | st.integers(0, 10**9)), max_size=20))
def test_rate_is_never_negative(samples: list[tuple[int, int | None]]) -> None:
    """Whatever a server says, the rate stays at 0 or above, and Retry-After within its bounds."""
    rate = DrainRate()
    for number, (entries, added) in enumerate(samples):
        rate.observe(entries, added, number)
        assert rate.entries_s >= 0
        assert 1 <= retry_after_s(entries, rate.entries_s) <= 60
