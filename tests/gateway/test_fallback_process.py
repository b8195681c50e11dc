"""A gateway with a spool as a process: killed with what it has spooled, and on a disk that is
full."""

import asyncio
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.ports import Project, SealedSecret
from core.settings import read
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate
from store.sealing import Sealer
from tests.cli.conftest import Child
from tests.conftest import QueueServer, free_port
from tests.gateway.conftest import SECRET
from tests.gateway.test_fallback import event, in_queue, numbers
from tests.gateway.test_spool import on_disk
from tests.raw_http import Producer, Reply, exchange

READYZ = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


class Processes:
    """Gateways, one after the other, on one spool and one queue."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self.producer = Producer(int(environ["CONTOX_PORT"]), "proj_1", SECRET)
        self.children: list[Child] = []

    async def start(self) -> Child:
        """Start a gateway and wait until it listens."""
        self.children.append(Child(self._directory, "gateway", **self._environ))
        await self.readyz(200)
        return self.children[-1]

    async def readyz(self, status: int) -> Reply:
        """Wait until the readiness page has this status."""
        async with asyncio.timeout(30):
            while True:
                try:
                    reply = await exchange(self.producer.port, READYZ)
                except OSError:
                    assert self.children[-1].process.poll() is None, self.children[-1].err
                else:
                    if reply.status == status:
                        return reply
                await asyncio.sleep(0.05)


@pytest.fixture
async def store(environ: dict[str, str]) -> None:
    """A store with the project that signs."""
    settings = read(environ)
    assert settings.master_key is not None
    engine = open_engine(settings.database_url)
    await migrate(engine)
    secret = SealedSecret(Sealer(settings.master_key).seal(SECRET, project_id="proj_1"), None)
    await SqlProjects(engine).create(Project("proj_1", "demo", "active", 1, 1), secret)
    await engine.dispose()


@pytest.fixture
def processes(
    tmp_path: Path, environ: dict[str, str], store: None, own_queue_server: QueueServer
) -> Iterator[Processes]:
    """Gateways whose queue is away at the start; they end with the test."""
    own_queue_server.stop(signal.SIGKILL)
    added = {
        "CONTOX_REDIS_URL": own_queue_server.url,
        "CONTOX_SPOOL_DIR": str(tmp_path / "spool"),
        "CONTOX_PORT": str(free_port()),
    }
    started = Processes(tmp_path, {**environ, **added})
    yield started
    for child in started.children:
        child.end()


async def test_killed(processes: Processes, own_queue_server: QueueServer, tmp_path: Path) -> None:
    """What was answered 202 before a kill -9 under load is drained by the next process, in the
    order of the answers, once the queue is there."""
    child = await processes.start()
    answered: list[int] = []

    async def send() -> None:
        for number in range(100_000):
            reply = await processes.producer.post(event(number))
            assert reply.headers["x-contox-durability"] == "spooled"
            answered.append(number)

    sending = asyncio.create_task(send())
    async with asyncio.timeout(20):
        while len(answered) < 50:
            await asyncio.sleep(0.01)
    child.process.send_signal(signal.SIGKILL)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await sending
    child.process.wait(10)
    spooled = numbers(on_disk(tmp_path / "spool"))
    assert spooled[: len(answered)] == answered
    assert len(spooled) - len(answered) in (0, 1)  # its answer was on the way
    await processes.start()
    assert (await processes.producer.post(event(200_000))).status == 202
    own_queue_server.start()
    async with asyncio.timeout(20):
        while len(found := await in_queue(own_queue_server)) <= len(spooled):
            await asyncio.sleep(0.05)
    assert numbers(found) == [*spooled, 200_000]
    log = processes.children[-1].err
    assert '"event": "spool opened"' in log
    assert f'"entries": {len(spooled)}, ' in log


async def test_full_disk(
    processes: Processes, own_queue_server: QueueServer, tmp_path: Path
) -> None:
    """A disk that takes no more is 503, red and logged, and the gateway goes on; when there is
    room again it notices by itself, and nothing that was answered 202 is missing."""
    child = await processes.start()
    assert (await processes.producer.post(event(0))).status == 202
    pid, bytes_max = child.process.pid, 300_000
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (bytes_max, unlimited[1]))
    statuses = [(await processes.producer.post(event(n, 100_000))).status for n in range(1, 6)]
    assert statuses[0] == 202
    assert statuses[-1] == 503
    ready = await processes.readyz(503)
    assert ready.json["missing"][1].startswith("The spool cannot be written: ")
    assert '"event": "spool failed"' in child.err
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    await processes.readyz(200)
    assert (await processes.producer.post(event(6, 100_000))).status == 202
    taken = [0, *(n for n, status in enumerate(statuses, 1) if status == 202), 6]
    assert numbers(on_disk(tmp_path / "spool")) == taken
    own_queue_server.start()
    async with asyncio.timeout(20):
        while len(found := await in_queue(own_queue_server)) < len(taken):
            await asyncio.sleep(0.05)
    assert numbers(found) == taken
    assert child.stop().status == 0
