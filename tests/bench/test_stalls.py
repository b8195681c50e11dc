"""What requests wait that come while the machine stops."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.stalls import GAP_NS_MIN, Gap, alone, gaps_of, joined_ns, wait_ns


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
    """What a loop finds are the steps of its clock that are longer than the least, to the end."""
    steps = [0, GAP_NS_MIN, 3 * GAP_NS_MIN, 3 * GAP_NS_MIN + 1, 10 * GAP_NS_MIN, 99 * GAP_NS_MIN]
    found = gaps_of(10 * GAP_NS_MIN / 1e9, iter(steps).__next__)
    assert found == [(steps[1], steps[2]), (steps[3], steps[4])]
    assert gaps_of(0.0) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8))
def test_joined(made: list[tuple[int, int]]) -> None:
    """All moments that are in a gap of either core, each once."""
    gaps: list[Gap] = [(start, start + length) for start, length in made]
    moments = {moment for start, end in gaps for moment in range(start, end)}
    lengths = joined_ns(gaps)
    assert sum(lengths) == len(moments)
    firsts = [m for m in moments if m - 1 not in moments]
    assert len(lengths) == len(firsts)


def test_alone() -> None:
    """Both cores are watched; the fewer requests wait longer, the longer they wait."""
    found = alone(1)  # a machine that never stops for a tenth of a millisecond gives zeros
    assert list(found) == ["p50 ms", "p99 ms", "p99.9 ms"]
    assert all(0 <= less <= more for less, more in pairwise(found.values()))
