"""What the usual request in Python has of its own; what both share is in test_usual.py."""

from core.usual_python import Gathered


def test_begins_with_nothing() -> None:
    """A bundle holds nothing at first."""
    gathered = Gathered(3)
    assert (gathered.partition, gathered.ones, bytes(gathered.wire)) == (3, [], b"")
    assert (gathered.events, gathered.body_bytes) == ({}, 0)
