"""Batches, for a second."""

import pytest

from bench.batches import PER_EVENT, one
from bench.queue_server import Queue
from bench.rounds import CPU
from bench.servers import Server
from tests.bench.conftest import TINY


def test_batches(server: Server, memory_queue: Queue) -> None:
    """A batch of 100 has a figure per event, a hundredth of that per request."""
    row = one(server, memory_queue, 100, TINY)
    assert row[PER_EVENT] * 100 == pytest.approx(row[CPU])
    assert row["events/s"] == pytest.approx(row["requests/s"] * 100)
