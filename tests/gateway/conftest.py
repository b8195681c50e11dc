"""A gateway in this process, on a real queue, with one project."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from core.codec import Entry, decode
from core.metrics import Meter
from core.partitions import stream_key
from core.ports import Project, SealedSecret
from core.settings import Settings, read
from gateway.main import Gateway, serving
from gateway.publisher import Publisher
from runtime.background import end
from runtime.queue import open_queue
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate
from store.sealing import Sealer
from tests.raw_http import EVENT, Producer

SECRET = "whsec_test"
NOW = 1_800_000_000  # far outside the real window: a test that forgets the clock fails


class Running:
    """A gateway that serves, and how to look into its queue."""

    def __init__(self, gateway: Gateway, queue: Redis, projects: SqlProjects, sealer: Sealer):
        self.gateway = gateway
        self.queue = queue
        self.projects = projects
        self.sealer = sealer
        self.producer = Producer(gateway.port, "proj_1", SECRET)

    async def entries(self) -> list[Entry]:
        """What has been appended."""
        return [decode(fields) for _, fields in await self.queue.xrange(stream_key(0))]

    def seal(self, secret: str) -> SealedSecret:
        """A secret of the project, sealed."""
        return SealedSecret(self.sealer.seal(secret, project_id="proj_1"), None)


Start = Callable[..., Awaitable[Running]]


EACH_TRANSPORT = pytest.mark.parametrize("lane", ["1", "0"], ids=["lane", "aiohttp"])


@pytest.fixture(autouse=True)
def lane() -> str:
    """CONTOX_LANE: EACH_TRANSPORT on a module runs all that is there with and without."""
    return "1"


@pytest.fixture
async def start(environ: dict[str, str], queue: Redis, lane: str) -> AsyncIterator[Start]:
    """Start a gateway with settings added to the usual ones; it ends with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(**added: str) -> Running:
            settings: Settings = read({**environ, "CONTOX_LANE": lane, **added})
            engine = open_engine(settings.database_url)
            stack.push_async_callback(engine.dispose)
            await migrate(engine)
            assert settings.master_key is not None
            sealer, projects = Sealer(settings.master_key), SqlProjects(engine)
            if await projects.find("proj_1") is None:
                secret = SealedSecret(sealer.seal(SECRET, project_id="proj_1"), None)
                await projects.create(Project("proj_1", "demo", "active", 1, 1), secret)
            gateway = await stack.enter_async_context(serving(settings, asyncio.Event()))
            await until(lambda: not gateway.publisher.away)
            return Running(gateway, queue, projects, sealer)

        yield start_one


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with small limits, so that tests can exceed them cheaply."""
    return await start(
        CONTOX_BODY_BYTES_MAX="2000",
        CONTOX_DECODED_BYTES_MAX="4000",
        CONTOX_EVENT_BYTES_MAX="1000",
        CONTOX_BATCH_EVENTS_MAX="5",
    )


async def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def batch_of(count: int) -> bytes:
    """A valid batch of `count` events."""
    return b"[" + b",".join([EVENT] * count) + b"]"


@pytest.fixture
def producer(running: Running) -> Producer:
    """The project's producer, at a fixed time of the gateway's clock."""
    running.gateway.admission._clock = lambda: NOW + 0.9
    running.gateway.usual._clock = lambda: NOW + 0.9
    return running.producer


@asynccontextmanager
async def publishing(url: str, **settings: str) -> AsyncIterator[Publisher]:
    """A publisher that runs; given settings have their prefix added."""
    environ = {f"CONTOX_{name.upper()}": value for name, value in settings.items()}
    queue = open_queue(url)
    publisher = Publisher(queue, read(environ), Meter("gateway"))
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        await end(task)
        await queue.aclose()


async def is_connected(publisher: Publisher) -> None:
    """Wait until appends are taken."""
    await until(lambda: not publisher.away)
