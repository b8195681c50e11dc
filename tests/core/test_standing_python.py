"""What standings in Python have of their own; what both share is in test_usual.py."""

from core.standing_python import Directory


def test_begins_with_nothing() -> None:
    """A directory holds nothing at first."""
    directory = Directory()
    assert (len(directory), directory.get(b"proj_1")) == (0, None)
