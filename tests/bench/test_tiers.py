"""Tiers, for a second."""

from bench.tiers import one
from tests.bench.conftest import TINY


def test_fsynced() -> None:
    """The fsynced tier runs on a queue that gives it."""
    assert one("fsynced", TINY)["requests/s"] > 10


def test_connections() -> None:
    """As many connections are opened as a row is named after."""
    assert one("memory", TINY._replace(connections=200))["requests/s"] > 10
