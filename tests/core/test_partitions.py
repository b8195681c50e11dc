"""Pinned names and places: a change of either would strand what is in the queue."""

from hypothesis import given
from hypothesis import strategies as st

from core.partitions import GROUP, dead_letter_key, ledger_key, partition_of, stream_key


def test_names_are_stable() -> None:
    """The names of streams and group are what running processes know them by."""
    assert (stream_key(3), dead_letter_key(3)) == ("ingest:{3}", "ingest:{3}:dead")
    assert ledger_key(3) == "ingest:{3}:ledger"
    assert GROUP == "contox-workers"


def test_place_of_a_project_is_stable() -> None:
    """A project's place is its CRC-32, whose check value is public: the same in every process."""
    assert partition_of("123456789", 1 << 32) == 0xCBF43926
    assert partition_of("123456789", 1024) == 0xCBF43926 % 1024


@given(st.text(), st.integers(1, 1024))
def test_place_is_one_of_the_partitions(project: str, partitions: int) -> None:
    """Any project lives in one of the partitions."""
    assert 0 <= partition_of(project, partitions) < partitions


def test_projects_spread() -> None:
    """A thousand projects fill every one of 16 partitions, none with thrice its share."""
    places = [partition_of(f"proj_{n}", 16) for n in range(1_000)]
    assert all(0 < places.count(partition) < 3 * 1_000 / 16 for partition in range(16))
