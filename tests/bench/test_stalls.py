"""What requests wait that come while the machine stops."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.stalls import GAP_NS_MIN, alone, gaps_ns, wait_ns


@given(st.lists(st.integers(1, 40), max_size=8), st.integers(0, 100), st.floats(0.01, 0.999))
def test_wait(gaps: list[int], rest: int, share: float) -> None:
    """As if one request came in each ns of the time, and its wait were looked up."""
    total = sum(gaps) + rest + 1
    waits = sorted([wait for gap in gaps for wait in range(1, gap + 1)] + [0] * (rest + 1))
    found = wait_ns(gaps, total, share)
    longer = sum(wait > found + 1 for wait in waits)
    not_shorter = sum(wait > found - 1 for wait in waits)
    assert longer <= (1 - share) * total + 1e-6
    assert not found or not_shorter >= (1 - share) * total - 1e-6


def test_nothing_stops() -> None:
    """Without a gap nobody waits."""
    assert wait_ns([], 1_000, 0.999) == 0


def test_gaps() -> None:
    """What a loop finds are gaps, and no longer together than it ran."""
    found = gaps_ns(0.05)
    assert all(gap > GAP_NS_MIN for gap in found)
    assert gaps_ns(0.0) == []


def test_alone() -> None:
    """Both cores are watched; the fewer requests wait longer, the longer they wait."""
    found = alone(1)
    assert list(found) == ["p50 ms", "p99 ms", "p99.9 ms"]
    assert all(0 <= less <= more for less, more in pairwise(found.values()))
