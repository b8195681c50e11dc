"""The breaker's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.breaker import DEAD_MIN, WINDOW_EVENTS, Breaker


@pytest.mark.parametrize(
    ("events", "dead", "trips"),
    [(1_000, 501, True), (1_000, 500, False), (99, 99, False), (100, 100, True), (1_000, 0, False)],
)
def test_share(events: int, dead: int, trips: bool) -> None:
    """Over the share it trips, from a hundred dead events on."""
    assert Breaker(50).trips(events, dead) is trips


def test_off() -> None:
    """At 0 it never trips."""
    assert not Breaker(0).trips(1_000, 1_000)


def test_good_events_weigh() -> None:
    """What came lately counts: good events make room for bad ones, old ones no longer."""
    breaker = Breaker(50)
    breaker.count(900, 0)
    assert not breaker.trips(400, 400)
    for _ in range(20):
        breaker.count(100, 40)
    assert breaker.trips(1_000, 800)


def test_asking_counts_nothing() -> None:
    """Asking again gives the same answer: a stopped drain does not talk itself into anything."""
    breaker = Breaker(50)
    assert [breaker.trips(200, 150) for _ in range(100)] == [True] * 100


def test_trickle_trips() -> None:
    """Single dead events add up, if nearly nothing else comes."""
    breaker = Breaker(50)
    buried = 0
    while not breaker.trips(1, 1):
        breaker.count(1, 1)
        buried += 1
    assert buried == DEAD_MIN - 1


@given(st.lists(st.tuples(st.integers(1, 6_000), st.integers(0, 6_000))))
def test_window(batches: list[tuple[int, int]]) -> None:
    """It remembers the last batches that hold about a thousand events, and their sums."""
    breaker = Breaker(50)
    for events, dead in batches:
        breaker.count(events, min(events, dead))
        kept = list(breaker._recent)
        assert breaker._events == sum(e for e, _ in kept)
        assert breaker._dead == sum(d for _, d in kept)
        assert breaker._events - kept[0][0] < WINDOW_EVENTS
