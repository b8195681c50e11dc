"""Real servers, measured for a second: that a benchmark still runs and tells the truth, not how
fast.
"""

import os
from collections.abc import Iterator

import pytest

from bench.queue_server import Queue, queue
from bench.rounds import Plan
from bench.servers import Server, gateway

TINY = Plan(rounds=1, seconds=1, warm_s=0)


@pytest.fixture(autouse=True, scope="session")
def no_settings() -> Iterator[None]:
    """Settings of whoever runs the tests reach no server."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("CONTOX_")]:
            patched.delenv(name)
        yield


@pytest.fixture(scope="session")
def memory_queue(no_settings: None) -> Iterator[Queue]:
    """A queue that keeps its entries in memory."""
    with queue(durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def server(memory_queue: Queue) -> Iterator[Server]:
    """A gateway on it."""
    with gateway(memory_queue, ack="memory") as running:
        yield running
