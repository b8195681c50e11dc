"""What a benchmark measures: a server that takes signed requests and appends to the queue."""

import asyncio
import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.load import Sender
from bench.machine import SERVER
from bench.processes import running
from bench.queue_server import Queue
from bench.seeding import seed
from cli.embedded import free_port
from cli.supervisor import script
from core.partitions import stream_key
from core.settings import PREFIX, table

# Bounds that a benchmark without a worker would reach; no other default is changed.
UNBOUNDED = {"CONTOX_BACKLOG_ENTRIES_MAX": str(10**9), "CONTOX_BACKLOG_LAG_MAX": str(10**9)}
ONE_PROCESS = {"CONTOX_PROCESSES": "1"}  # where the gateway can have several
IN_PYTHON = (
    "import sys; sys.modules['core.kernels_native'] = None; from cli.main import main; main()"
)
KNOWN = frozenset(PREFIX + name.upper() for name, _, _ in table())


class Server(NamedTuple):
    """A running server, and who may send to it."""

    port: int
    pid: int
    stream: str  # that it appends to
    senders: list[Sender]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def gateway(
    queue: Queue,
    *,
    ack: str,
    projects: int = 1,
    cached: bool = False,
    settings: dict[str, str] | None = None,
    compiled: bool = True,
) -> Iterator[Server]:
    """`contox-ingest gateway` in one process, on a fresh SQLite store with `projects` projects.

    cached: whether the projects' keys are in the queue's cache, too.
    settings: more of its environment variables. compiled: its kernels, if they were built.
    """
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        port = free_port()
        environ = {
            "CONTOX_REDIS_URL": queue.url,
            "CONTOX_DATABASE_URL": f"sqlite:///{directory}/store.db",
            "CONTOX_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
            "CONTOX_PORT": str(port),
            "CONTOX_ACK": ack,
            **UNBOUNDED,
            **{name: value for name, value in ONE_PROCESS.items() if name in KNOWN},
            **(settings or {}),
        }
        senders = asyncio.run(seed(environ, projects, cached=cached))
        command = script("gateway") if compiled else [sys.executable, "-c", IN_PYTHON, "gateway"]
        with running(SERVER, command, environ=environ, port=port) as pid:
            yield Server(port, pid, stream_key(0), senders)
