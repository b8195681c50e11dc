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
from gateway.fallback import SpooledQueue
from gateway.key_cache import KeyCache
from gateway.keyring import Keyring
from gateway.publisher import Publisher
from gateway.server import listening
from gateway.sessions import Sessions
from gateway.spool import opened
from gateway.spool_drain import SpoolDrain
from runtime.background import Background
from runtime.log import get_log
from runtime.queue import open_queue
from runtime.stop import stop_event
from runtime.waiting import told
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate_at_start
from store.sealing import Sealer, check_master_key

log = get_log()


class Gateway:
    """A gateway that listens, by the parts that tell how it is."""

    def __init__(
        self,
        endpoint: Endpoint,
        admission: Admission,
        publisher: Publisher,
        backlog: Backlog,
        spooled: SpooledQueue | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.admission = admission
        self.publisher = publisher
        self.backlog = backlog
        self.spooled = spooled
        self.port = 0
        self.leaving = False

    def missing(self) -> list[str]:
        """What keeps it from accepting durably now, as sentences."""
        if self.spooled:
            reasons = self.spooled.missing()
        else:
            reasons = [why for why in (self.publisher.away, self.publisher.full) if why]
        if self.backlog.full:
            reasons.append("The backlog is full")
        if self.leaving:
            reasons.append("The gateway is shutting down")
        return reasons

    def degraded(self) -> list[str]:
        """What is not as it should be, though it accepts, as sentences."""
        return self.spooled.degraded() if self.spooled else []


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
        meter = Meter("gateway")
        spool = await stack.enter_async_context(opened(settings, meter))
        background = Background(stop)
        stack.push_async_callback(background.close)

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
        spooled = SpooledQueue(publisher, spool) if spool else None
        away = (lambda: bool(publisher.away)) if spool else None
        admission = Admission(
            settings,
            keyring=keyring,
            sessions=Sessions(queue, entries_max=settings.keyring_entries_max, away=away),
            queue=spooled or publisher,
            backlog=backlog,
        )
        endpoint = Endpoint(settings, admission=admission, meter=meter)
        gateway = Gateway(endpoint, admission, publisher, backlog, spooled)
        for task in (keyring.follow(queue), publisher.run(), backlog.run()):
            background.start(task)
        if spool:
            drain = SpoolDrain(spool, publisher, settings, may_drain=lambda: not backlog.full)
            background.start(drain.run())
        app = build_app(endpoint, meter=meter, missing=gateway.missing, degraded=gateway.degraded)
        listener = listening(app, endpoint, settings.host, settings.port)
        gateway.port = await stack.enter_async_context(listener)
        yield gateway
