"""Sums of counts, sets of bits against real sets, histograms against known distributions."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure import (
    Bits,
    Counts,
    Latencies,
    Snapshot,
    Tally,
    count_one,
    percentiles_ms,
)
from tests.loadtest.conftest import told

Ranges = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 20)), max_size=8)
NAMES = ("p50", "p90", "p99", "p99.9", "max")


def bits_of(numbers: set[int]) -> Bits:
    """Bits with these numbers."""
    bits = Bits()
    for number in numbers:
        bits.add_range(number, 1)
    return bits


def test_add() -> None:
    """Counts of processes add up, field by field and answer by answer."""
    total = Counts(offered=1, refused={"401 a": 1}, wrong={"x": 2})
    total.add(Counts(offered=2, sent=3, refused={"401 a": 4, "503 b": 1}, wrong={"y": 1}))
    total.add(Counts(accepted=5))
    assert total == Counts(
        offered=3,
        sent=3,
        accepted=5,
        refused={"401 a": 5, "503 b": 1},
        wrong={"x": 2, "y": 1},
    )


def test_every_count_is_added() -> None:
    """No count is left out of a sum."""
    numbers = {name: n for n, name in enumerate(Counts.__struct_fields__, 1)}
    one = Counts(**{**numbers, "refused": {"a": 1}, "wrong": {"b": 2}})  # type: ignore[arg-type]
    total = Counts()
    total.add(one)
    assert total == one


def test_counts_are_not_shared() -> None:
    """Counts begin empty, whatever others have counted."""
    count_one(Counts().refused, "401 a")
    assert Counts().refused == {}


def test_count_one() -> None:
    """A key is counted from one on."""
    counts: dict[str, int] = {}
    for key in ("a", "b", "a"):
        count_one(counts, key)
    assert counts == {"a": 2, "b": 1}


def test_percentiles() -> None:
    """Percentiles are the latencies that were put in, to three digits, in milliseconds."""
    tally, latencies = Tally(remember=False), Latencies()
    tally.latencies_us = [1_000 * n for n in range(1, 1_001)]
    latencies.add(tally.take_latencies())
    expected = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1_000}
    assert percentiles_ms(latencies) == pytest.approx(expected, rel=0.001)
    assert tuple(percentiles_ms(latencies)) == NAMES


@given(st.lists(st.integers(0, 1 << 30), min_size=1), st.lists(st.floats(0, 100), max_size=5))
def test_any_percentiles(latencies_us: list[int], percents: list[float]) -> None:
    """The least value that at least so many percent do not exceed, to three digits."""
    latencies, ascending = Latencies(), sorted(latencies_us)
    latencies.add(Counter(latencies_us))
    expected = []
    for percent in sorted(percents):
        rank = next(n for n in range(1, len(ascending) + 1) if n * 100 >= percent * len(ascending))
        expected.append(ascending[rank - 1] / 1_000)
    assert latencies.at_ms(sorted(percents)) == pytest.approx(expected, rel=0.001)
    assert len(latencies) == len(latencies_us)


def test_latencies_of_intervals_add_up() -> None:
    """Each latency is told once, and those of many intervals make one distribution."""
    tally, latencies, total = Tally(remember=False), Latencies(), Latencies()
    for latency_us in (1_000, 2_000, 3_000, 3_000):
        tally.latencies_us.append(latency_us)
        latencies.add(tally.take_latencies())
    latencies.add(tally.take_latencies())  # nothing since
    total.merge(latencies)
    assert len(latencies) == len(total) == 4
    assert percentiles_ms(total)["p50"] == pytest.approx(2, rel=0.001)


def test_values_are_bounded() -> None:
    """However many different latencies there are, few are kept."""
    latencies = Latencies()
    latencies.add(dict.fromkeys(range(1, 1 << 17), 1))
    assert len(latencies) == (1 << 17) - 1
    assert len(latencies._counts) <= 8 * 1_024


def test_nothing_measured() -> None:
    """The percentiles of nothing are zeros."""
    assert percentiles_ms(Latencies()) == dict.fromkeys(NAMES, 0.0)


@settings(deadline=None, database=None)
@given(ranges=Ranges)
def test_bits_are_a_set(ranges: list[tuple[int, int]]) -> None:
    """Bits hold what was added, once, and survive the way to another process."""
    bits, real = Bits(), set[int]()
    for first, count in ranges:
        bits.add_range(first, count)
        real |= set(range(first, first + count))
    for held in (bits, Bits(bits.to_bytes())):
        assert len(held) == len(real)
        assert {n for n in range(400) if n in held} == real


@settings(deadline=None, database=None)
@given(mine=st.sets(st.integers(0, 300)), theirs=st.sets(st.integers(0, 300)), most=st.integers(0))
def test_minus_and_union(mine: set[int], theirs: set[int], most: int) -> None:
    """The difference is counted whole and its first numbers listed; the union holds both."""
    count, first = bits_of(mine).minus(bits_of(theirs), most)
    rest = sorted(mine - theirs)
    assert (count, first) == (len(rest), rest[:most])
    assert len(bits_of(mine).union(bits_of(theirs)).minus(bits_of(mine | theirs), 1)[1]) == 0
    assert len(bits_of(mine).union(bits_of(theirs))) == len(mine | theirs)


def test_size_of_bits() -> None:
    """A million numbers take at most 150 kB, added one by one in order."""
    bits = Bits()
    for number in range(0, 1_000_000, 10):
        bits.add_range(number, 10)
    assert len(bits) == 1_000_000
    assert len(bits.to_bytes()) <= 150_000


def test_snapshot_round_trip() -> None:
    """What a process tells arrives whole."""
    snapshot = told(3, latencies_us=[5, 6], last=True, acknowledged=range(2, 9), accepted=7)
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=Snapshot)
    assert read == snapshot
    assert len(Bits(read.acknowledged)) == 7
