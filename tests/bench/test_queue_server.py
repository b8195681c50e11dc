"""The queue of a benchmark."""

from bench.queue_server import Queue, queue, version


def test_empty_keeps_the_rest(memory_queue: Queue) -> None:
    """Emptying a stream deletes its entries, and leaves other keys alone."""
    memory_queue.client.xadd("some", {"a": "b"})
    memory_queue.client.set("other", "1")
    assert memory_queue.settled("some") == 1
    memory_queue.empty("some")
    assert memory_queue.length("some") == 0
    assert memory_queue.client.get("other") == b"1"


def test_durable() -> None:
    """A durable queue syncs each append."""
    with queue(durable=True) as running:
        assert running.client.config_get("appendfsync") == {"appendfsync": "always"}
        assert running.client.config_get("appendonly") == {"appendonly": "yes"}


def test_version() -> None:
    """The server tells its version."""
    assert "alkey" in version()
