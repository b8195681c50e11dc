"""The ledger: what has become of every event that was appended, per project.

    accepted = stored + duplicates + dead-lettered + purged + written off + in flight + lost

    ingest:{n}:ledger := hash
        id            random, made with the hash: another one means that the queue was emptied
        before        0: there is no field |b; anything else, or nothing: there may be
        <project>|a   events appended: accepted, be it that the answer got lost on its way
    <project>|b   events appended to the ledgers before this one, as witnesses have told
        <project>|s   events settled: stored, or a duplicate of what is stored
        <project>|d   events that are dead letters now
        <project>|p   events that were dead letters and have been purged
        <project>|w   events that an operator has written off after a loss
        |a  |b  |s    the same in entries, over all projects; |s those that are done with

Requirements  Every accepted event must be accounted for, exactly, whatever crashes, at next to no
              cost; and a queue that forgets must be found out.
Solution      Each count changes in the same atomic step as what it counts: `a` with the append,
              `s` and `d` with the deletion of the entry. So a partition is in balance when its
              stream holds as many entries as were appended and are not done with.
Cost          One HINCRBY per project and group of appends, and one per project and batch drained.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

QUEUE_ID = b"id"
ENTRIES = ""  # in the place of a project: all of them, counted in entries
UNKNOWN = "?"  # the project of an entry that does not say whose it is
ACCEPTED, BEFORE, SETTLED, DEAD, PURGED, WRITTEN_OFF = "a", "b", "s", "d", "p", "w"


class Totals(NamedTuple):
    """One project's counts, as the queue has them; in events."""

    accepted: int = 0
    settled: int = 0
    dead: int = 0
    purged: int = 0
    written_off: int = 0

    @property
    def outstanding(self) -> int:
        """Events that should be in the stream still."""
        return self.accepted - self.settled - self.dead - self.purged - self.written_off


class Book(NamedTuple):
    """One partition's ledger, read at one moment together with the length of its stream."""

    queue_id: str  # empty: there is no ledger yet
    projects: dict[str, Totals]
    entries: Totals  # of which only `accepted` and `settled` are kept
    length: int  # entries in the stream

    @property
    def missing(self) -> int:
        """Entries that were appended, are not done with, and are not in the stream."""
        return self.entries.outstanding - self.length


class Account(NamedTuple):
    """What is known of one project's events."""

    accepted: int
    stored: int
    duplicates: int
    dead_lettered: int
    purged: int
    written_off: int
    in_flight: int
    spooled: int
    lost: int  # accepted, and nowhere; under 0: more turned up than was accepted


FIELDS = {ACCEPTED: 0, BEFORE: 0, SETTLED: 1, DEAD: 2, PURGED: 3, WRITTEN_OFF: 4}


def field(project: str, count: str) -> str:
    """The hash field of a count of a project's."""
    return f"{project}|{count}"


def parse(hash_: Mapping[bytes, bytes], length: int) -> Book:
    """A partition's ledger from its hash; fields that are not ours are ignored."""
    counts: dict[str, list[int]] = {ENTRIES: list(Totals())}
    for name, value in hash_.items():
        project, bar, count = name.decode(errors="replace").rpartition("|")
        if bar and count in FIELDS:
            counts.setdefault(project, list(Totals()))[FIELDS[count]] += int(value)
    entries = Totals(*counts.pop(ENTRIES))
    projects = {project: Totals(*values) for project, values in counts.items()}
    return Book(hash_.get(QUEUE_ID, b"").decode(), projects, entries, length)


def account(totals: Totals, *, stored: int, in_stream: int | None, spooled: int = 0) -> Account:
    """One project's account.

    stored: rows that the store has taken as new. in_stream: events counted in the stream, or None
    if the partition is in balance, where that is what is outstanding. spooled: events that a
    gateway has accepted and the queue has not.
    """
    settled = max(totals.settled, stored)  # a batch is stored a moment before it is settled
    ahead = settled - totals.settled
    outstanding = totals.outstanding - ahead
    lost = 0
    if in_stream is not None:  # those ahead may be in the stream still, or may be gone with it
        lost = totals.outstanding - in_stream
        lost = max(lost - ahead, 0) if lost > 0 else lost
    return Account(
        accepted=totals.accepted + spooled,
        stored=stored,
        duplicates=settled - stored,
        dead_lettered=totals.dead,
        purged=totals.purged,
        written_off=totals.written_off,
        in_flight=outstanding - lost,
        spooled=spooled,
        lost=lost,
    )


def total(totals: Iterable[Totals]) -> Totals:
    """The sum over projects."""
    return Totals(*map(sum, zip(*totals, strict=True)))
