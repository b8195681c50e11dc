"""The gateway's process: put the parts together, serve, and stop in order.

On SIGTERM: readiness turns red; after the grace the listener closes and what still arrives on open
connections is refused; what is in flight is answered; the process ends with status 0.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from core.metrics import Meter
from core.settings import SettingError, Settings
from gateway.admission import Admission
from gateway.app import build_app
from gateway.backlog import Backlog
from gateway.endpoint import Endpoint
from gateway.key_cache import KeyCache
from gateway.keyring import Keyring
from gateway.publisher import Publisher
from gateway.resources import Resources
from gateway.server import listening
from gateway.sessions import Sessions
from gateway.tier import check_at_start
from runtime.background import Background
from runtime.log import get_log
from runtime.queue import open_queue
from runtime.stop import stop_event
from runtime.waiting import told
from store.accounts import SqlProjects
from store.engine import open_engine
from store.ledger import SqlLedger
from store.migrate import migrate_at_start
from store.sealing import Sealer, check_master_key

log = get_log()


class Gateway:
    """A gateway that listens, by the parts that tell how it is."""

    def __init__(
        self, endpoint: Endpoint, admission: Admission, publisher: Publisher, backlog: Backlog
    ) -> None:
        self.endpoint = endpoint
        self.admission = admission
        self.publisher = publisher
        self.backlog = backlog
        self.port = 0
        self.leaving = False

    def missing(self) -> list[str]:
        """What keeps it from accepting durably now, as sentences."""
        reasons = [why for why in (self.publisher.away, self.publisher.full) if why]
        if self.backlog.full:
            reasons.append("The backlog is full")
        if self.leaving:
            reasons.append("The gateway is shutting down")
        return reasons


async def run(settings: Settings, on_listen: Callable[[int], None] = lambda _port: None) -> None:
    """Serve until SIGTERM or SIGINT.

    on_listen: called with the port once connections are accepted.
    Raises SettingError for a setting that shows to be wrong now; OSError if it cannot listen.
    """
    stop = stop_event()
    async with serving(settings, stop) as gateway:
        on_listen(gateway.port)
        await stop.wait()
        gateway.leaving = True
        log.info("gateway stops", grace_s=settings.stop_grace_s)
        await asyncio.sleep(settings.stop_grace_s)


@asynccontextmanager
async def serving(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Gateway]:
    """A gateway on the settings' host and port; leaving the context finishes what is in flight."""
    if settings.master_key is None:
        raise SettingError("CONTOX_MASTER_KEY is not set; make one with: openssl rand -base64 32")
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate_at_start(engine, on_wait=told("store", stop))
        projects, sealer = SqlProjects(engine), Sealer(settings.master_key)
        await check_master_key(projects, sealer)
        queue = open_queue(settings.redis_url)
        stack.push_async_callback(queue.aclose)
        await check_at_start(queue, settings)
        background = Background(stop)
        stack.push_async_callback(background.close)

        meter = Meter("gateway")
        keyring = Keyring(
            cache=KeyCache(queue, ttl_s=settings.keyring_ttl_s),
            projects=projects,
            sealer=sealer,
            ttl_s=settings.keyring_ttl_s,
            entries_max=settings.keyring_entries_max,
            meter=meter,
        )
        publisher = Publisher(queue, settings, meter)
        backlog = Backlog(queue, settings, meter)
        admission = Admission(
            settings,
            keyring=keyring,
            sessions=Sessions(queue, entries_max=settings.keyring_entries_max),
            queue=publisher,
            backlog=backlog,
        )
        endpoint = Endpoint(settings, admission=admission, meter=meter)
        gateway = Gateway(endpoint, admission, publisher, backlog)
        for task in (keyring.follow(queue), publisher.run(), backlog.run()):
            background.start(task)
        resources = Resources(settings, queue=queue, projects=projects, ledger=SqlLedger(engine))
        routes = resources.routes()
        app = build_app(endpoint, meter=meter, missing=gateway.missing, resources=routes)
        listener = listening(app, endpoint, settings.host, settings.port)
        gateway.port = await stack.enter_async_context(listener)
        yield gateway
