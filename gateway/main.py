"""The gateway's process: reach what it needs, serve, and stop in order.

On SIGTERM: readiness turns red, and answers carry `Connection: close`; after the grace the listener
closes, and what has begun is answered; the process ends with status 0.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from core.metrics import Meter
from core.settings import SettingError, Settings
from gateway.parts import Gateway, Outside
from gateway.server import listening
from gateway.spool import opened
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


async def run(settings: Settings, on_listen: Callable[[int], None] = lambda _port: None) -> None:
    """Serve until SIGTERM or SIGINT.

    on_listen: called with the port once connections are accepted.
    Raises SettingError for a setting that shows to be wrong now; OSError if it cannot listen.
    """
    stop = stop_event()
    async with serving(settings, stop) as gateway:
        on_listen(gateway.port)
        await stop.wait()
        gateway.connections.leaving = True
        log.info("gateway stops", grace_s=settings.stop_grace_s)
        await asyncio.sleep(settings.stop_grace_s)


@asynccontextmanager
async def serving(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Gateway]:
    """A gateway on the settings' host and port; leaving the context finishes what is in flight."""
    if settings.master_key is None:
        raise SettingError("CONTOX_MASTER_KEY is not set; make one with: openssl rand -base64 32")
    meter = Meter("gateway")
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate_at_start(engine, on_wait=told("store", stop))
        projects, sealer = SqlProjects(engine), Sealer(settings.master_key)
        await check_master_key(projects, sealer)
        queue = open_queue(settings.redis_url)
        stack.push_async_callback(queue.aclose)
        await check_at_start(queue, settings)
        spool = await stack.enter_async_context(opened(settings, meter))
        gateway = Gateway(
            settings, Outside(queue, projects, SqlLedger(engine), sealer, spool), meter
        )
        background = Background(stop)
        stack.push_async_callback(background.close)
        for task in gateway.tasks():
            background.start(task)
        listener = listening(
            gateway.app(), gateway.endpoint, gateway.connections, settings.host, settings.port
        )
        gateway.port = await stack.enter_async_context(listener)
        yield gateway
