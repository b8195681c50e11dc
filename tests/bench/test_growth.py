"""Growth, in small systems."""

from bench.growth import FIRST, Size, filled, measure
from bench.queue_server import Queue
from bench.rounds import AGAINST
from bench.servers import Server
from tests.bench.conftest import TINY


def test_growth() -> None:
    """Every project sends, on top of the backlog; the first size is the measure of the others."""
    rows = measure(TINY, (Size(30, 0), Size(30, 5_000)))["rows"]
    assert list(rows) == ["30 projects, backlog 0", "30 projects, backlog 5,000"]
    assert rows["30 projects, backlog 0"][AGAINST] == 1
    assert all(row[FIRST] > 0 for row in rows.values())


def test_filled(server: Server, memory_queue: Queue) -> None:
    """The backlog is there before the load, and gone after it."""
    with filled(server, memory_queue, 25_001):
        assert memory_queue.length(server.stream) == 25_001
    assert memory_queue.length(server.stream) == 0
