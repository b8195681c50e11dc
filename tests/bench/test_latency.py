"""Latency in an open loop, for a second."""

import pytest

from bench.latency import open_loop
from bench.load import Sender
from bench.processes import BenchError
from bench.queue_server import Queue
from bench.servers import Server


def test_open_loop(server: Server, memory_queue: Queue) -> None:
    """Requests fall due at the rate that was asked for, and each is accepted."""
    row = open_loop(server, memory_queue, 100.0, 1)
    assert row["offered/s"] == 100
    assert 0 < row["p50 ms"] <= row["p99 ms"]
    assert memory_queue.settled(server.stream) == 100


def test_refused(server: Server, memory_queue: Queue) -> None:
    """A load that is refused has no figures, and says why."""
    wrong = [Sender(server.senders[0].project, "whsec_0")]
    with pytest.raises(BenchError, match="refused the credentials"):
        open_loop(server._replace(senders=wrong), memory_queue, 50.0, 1)
