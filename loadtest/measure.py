"""What a process counts while it sends, and how counts of many processes and seconds add up.

Latencies are counted by value, in microseconds to three digits, as an HDR histogram does
(http://hdrhistogram.org). The hot path only appends to a list; a snapshot counts it. All of it has
to be cheap: the sender's parent shares a core with what is being measured, and a histogram that
took it 10 ms twice a second was the p99 of what it measured.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

EXACT_BITS = 11  # of a latency's binary digits, the first that are kept: to one part in 1,024
PERCENTILES = {50.0: "p50", 90.0: "p90", 99.0: "p99", 99.9: "p99.9", 100.0: "max"}


class Counts(msgspec.Struct):
    """Counted since the start. A request is counted once, however often it is tried."""

    offered: int = 0  # fell due
    sent: int = 0  # were written at least once
    accepted: int = 0  # answered 202
    events: int = 0  # in them
    sent_bytes: int = 0
    retried: int = 0  # attempts after the first
    connection_errors: int = 0  # connections that ended while a request waited, or did not open
    unknown: int = 0  # were lost with their connection, at the last attempt
    unanswered: int = 0  # had no final answer when the run ended
    skipped: int = 0  # fell due, but too much was waiting already
    refused: dict[str, int] = {}  # "status code" of final answers that are not 202
    wrong: dict[str, int] = {}  # hostile requests answered otherwise than the contract says

    def add(self, other: "Counts") -> None:
        """Add another process's counts."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            else:
                setattr(self, name, mine + theirs)


def count_one(counts: dict[str, int], key: str) -> None:
    """Count a key once more."""
    counts[key] = counts.get(key, 0) + 1


class Snapshot(msgspec.Struct):
    """What one process sends to its parent every interval."""

    process: int
    counts: Counts  # since the start
    latencies: dict[int, int]  # of this interval: how often each was measured, in us
    cpu_s: float  # of the process, since the start
    elapsed_s: float
    last: bool = False
    made: int = 0  # with the last: how many events were made
    acknowledged: bytes = b""  # with the last: a bit for each event that got a 202


class Tally:
    """One process's counts and latencies."""

    def __init__(self, *, remember: bool) -> None:
        self.counts = Counts()
        self.latencies_us: list[int] = []
        self.acknowledged = Bits() if remember else None

    def take_latencies(self) -> dict[int, int]:
        """How often each latency, in us, was measured since the last call."""
        counts = dict(Counter(self.latencies_us))
        self.latencies_us.clear()
        return counts


class Bits:
    """A set of small numbers, one bit each: a million of them take 125 kB."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)

    def add_range(self, first: int, count: int) -> None:
        """Add `count` numbers from `first` on."""
        missing = (first + count) // 8 + 1 - len(self.content)
        if missing > 0:
            self.content.extend(bytes(max(missing, len(self.content) // 8)))
        for number in range(first, first + count):
            self.content[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self.content) and bool(
            self.content[number >> 3] & 1 << (number & 7)
        )

    def __len__(self) -> int:
        return int.from_bytes(self.content, "little").bit_count()

    def minus(self, other: "Bits", most: int) -> tuple[int, list[int]]:
        """(how many numbers are here and not there, the first `most` of them)."""
        mine = int.from_bytes(self.content, "little")
        rest = mine & ~int.from_bytes(other.content, "little")
        count, found = rest.bit_count(), list[int]()
        while rest and len(found) < most:
            lowest = rest & -rest
            found.append(lowest.bit_length() - 1)
            rest ^= lowest
        return count, found

    def union(self, other: "Bits") -> "Bits":
        """The numbers that are in either."""
        both = int.from_bytes(self.content, "little") | int.from_bytes(other.content, "little")
        return Bits(both.to_bytes(max(len(self.content), len(other.content)), "little"))

    def to_bytes(self) -> bytes:
        """The content that another Bits can be made from."""
        return bytes(self.content)


class Latencies:
    """How often each latency was measured. Bounded: a factor of two has at most 1,024 values."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def add(self, counts: Mapping[int, int]) -> None:
        """Add how often each latency in us was measured."""
        mine = self._counts
        for latency_us, count in counts.items():
            dropped = max(0, latency_us.bit_length() - EXACT_BITS)
            kept_us = latency_us >> dropped << dropped
            mine[kept_us] = mine.get(kept_us, 0) + count

    def merge(self, other: "Latencies") -> None:
        """Add all of another's."""
        self.add(other._counts)  # noqa: SLF001 - of the same class

    def at_ms(self, percents: Iterable[float]) -> list[float]:
        """The latency in ms that so many percent did not exceed, for each of them, ascending."""
        total, seen, latency_us, found = len(self), 0, 0, []
        ascending = iter(sorted(self._counts.items()))
        for percent in percents:
            while seen < max(1, percent * total / 100) and seen < total:
                latency_us, count = next(ascending)
                seen += count
            found.append(latency_us / 1_000)
        return found


def percentiles_ms(latencies: Latencies) -> dict[str, float]:
    """Latency in milliseconds by percentile: p50, p90, p99, p99.9, max; zeros if there is none."""
    return dict(zip(PERCENTILES.values(), latencies.at_ms(PERCENTILES), strict=True))
