"""Tiers, for a second."""

from bench.tiers import one
from tests.bench.conftest import TINY


def test_fsynced() -> None:
    """The fsynced tier runs on a queue that gives it."""
    assert one("fsynced", TINY)["requests/s"] > 10
