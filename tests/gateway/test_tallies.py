"""Tallies are found by their projects, and are so many at most."""

import pytest

from core.ledger import ENTRIES
from core.partitions import partition_of
from gateway import tallies as module
from gateway.tallies import Tallies


def test_one_of_each() -> None:
    """A project has one tally, in its partition; each partition has one of all entries."""
    tallies = Tallies(4)
    first = tallies.of("proj_1")
    assert tallies.of("proj_1") is first
    assert tallies.of("proj_2") is not first
    assert first.name == "proj_1|a"
    assert [one.name for one in tallies.entries] == [f"{ENTRIES}|a"] * 4


def test_seen() -> None:
    """What was seen is told by partition; what was not is not there."""
    tallies = Tallies(4)
    partition = partition_of("proj_1", 4)
    tallies.of("proj_1").seen = 7
    tallies.of("proj_2")
    tallies.entries[partition].seen = 5
    assert tallies.seen(partition) == {"|a": 5, "proj_1|a": 7}
    assert [tallies.seen(other) for other in range(4) if other != partition] == [{}] * 3


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones first seen longest ago are forgotten, which is told, for others may hold them."""
    monkeypatch.setattr(module, "PROJECTS_MAX", 2)
    tallies, forgotten = Tallies(1), list[str]()
    tallies.forgot = forgotten.append
    for number, project in enumerate(("a", "b", "a", "c"), start=1):
        tallies.of(project).seen = number
    assert forgotten == ["a"]
    assert tallies.seen(0) == {"b|a": 2, "c|a": 4}
