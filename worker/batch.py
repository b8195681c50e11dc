"""Entries on their way to the store, decoded, and what has become of each."""

from itertools import repeat
from operator import itemgetter
from typing import NamedTuple

from core.codec import decode, explode
from core.dead_letter import DeadLetter, of_entry, of_event
from core.errors import Refused
from core.event import Row

ENTRIES_MAX = 5_000  # of a batch: settling them takes the queue's server some 20 ms
PAYLOAD = itemgetter(Row._fields.index("payload"))


class Delivery(NamedTuple):
    """An entry as the queue has delivered it, for the how-manieth time."""

    entry_id: bytes
    fields: dict[bytes, bytes]
    times: int = 1

    @property
    def size(self) -> int:
        """Bytes of its fields."""
        return sum(map(len, self.fields.values()))


class Outcome(NamedTuple):
    """What is to become of an entry: events that are stored, and events that are dead."""

    entry_id: bytes
    project: str
    stored: int
    dead: int


class Batch:
    """Entries that are stored together."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.payload_bytes = 0
        self._entries: list[tuple[bytes, str, int]] = []  # id, project, events
        self._origins: list[int] = []  # of each row, the index of its entry
        self._unreadable: list[tuple[int, DeadLetter]] = []  # index of the entry, its letter

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, delivery: Delivery) -> None:
        """Take in an entry; what cannot be read will be a dead letter."""
        try:
            entry = decode(delivery.fields)
            rows = explode(entry)
        except Refused as error:
            self.bury(delivery, error.why)
            return
        self._origins.extend(repeat(len(self._entries), len(rows)))
        self._entries.append((delivery.entry_id, entry.project, entry.count))
        self.rows += rows
        self.payload_bytes += sum(map(len, map(PAYLOAD, rows)))

    def bury(self, delivery: Delivery, why: str) -> None:
        """Take in an entry that will be a dead letter whatever the store says."""
        letter = of_entry(delivery.entry_id, delivery.fields, why)
        self._unreadable.append((len(self._entries), letter))
        self._entries.append((delivery.entry_id, letter.project, letter.events))

    def letters(self, refused: dict[int, str]) -> list[tuple[int, DeadLetter]]:
        """The dead letters, with the index of the entry of each. refused: why, by row."""
        return self._unreadable + [
            (self._origins[at], of_event(self._entries[self._origins[at]][0], self.rows[at], why))
            for at, why in refused.items()
        ]

    def outcomes(self, letters: list[tuple[int, DeadLetter]]) -> list[Outcome]:
        """What becomes of each entry, with these dead letters."""
        if not letters:
            new = tuple.__new__
            return [new(Outcome, (*entry, 0)) for entry in self._entries]
        dead = [0] * len(self._entries)
        for at, letter in letters:
            dead[at] += letter.events
        return [
            Outcome(entry_id, project, count - gone, gone)
            for (entry_id, project, count), gone in zip(self._entries, dead, strict=True)
        ]

    @property
    def unreadable(self) -> int:
        """How many entries are dead letters as a whole."""
        return len(self._unreadable)
