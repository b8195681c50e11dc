"""The gateway's process: reach what it needs, serve, and stop in order.

On SIGTERM: readiness turns red, and answers carry `Connection: close`; after the grace the listener
closes, and what has begun is answered; the process ends with status 0.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from core.metrics import Meter, Metric
from core.settings import SettingError, Settings
from core.usual import NATIVE
from gateway.parts import Gateway, Outside
from gateway.processes import Place
from gateway.server import listening
from gateway.sockets import described
from gateway.spool import opened as opened_spool
from gateway.spool_orphans import adopt
from gateway.tier import check_at_start
from runtime.background import Background
from runtime.figures import SharedFigures
from runtime.garbage import set_aside
from runtime.log import get_log
from runtime.queue import open_queue
from runtime.stop import stop_event
from runtime.waiting import told
from store.accounts import SqlProjects
from store.engine import open_engine
from store.events import SqlEvents
from store.ledger import SqlLedger
from store.migrate import migrate_at_start
from store.sealing import Sealer, check_master_key
from store.sessions import SqlSessions
from store.users import SqlApiKeys, SqlUsers

log = get_log()
ALONE = Place()
FIRST_TRY_S = 3  # for the queue to be reached, before connections are taken all the same


async def run(
    settings: Settings, place: Place = ALONE, on_listen: Callable[[], None] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT.

    on_listen: called once connections are accepted.
    Raises SettingError for a setting that shows to be wrong now; OSError if it cannot listen.
    """
    stop = stop_event(patient=place.count > 1)
    async with serving(settings, stop, place) as gateway:
        set_aside()
        on_listen()
        await stop.wait()
        gateway.connections.leaving = True
        log.info("gateway stops", grace_s=settings.stop_grace_s)
        await asyncio.sleep(settings.stop_grace_s)


@asynccontextmanager
async def serving(
    settings: Settings, stop: asyncio.Event, place: Place = ALONE
) -> AsyncIterator[Gateway]:
    """A gateway where the settings say; leaving the context finishes what is in flight."""
    if settings.master_key is None:
        raise SettingError("CONTOX_MASTER_KEY is not set; make one with: openssl rand -base64 32")
    meter = Meter("gateway")
    meter.set(Metric.PROCESSES, 1)
    async with AsyncExitStack() as stack:
        figures = (
            SharedFigures("gateway", meter, place.slots, place.number) if place.slots else None
        )
        if figures:
            stack.callback(figures.publish)  # the last thing it does
        engine = open_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate_at_start(engine, on_wait=told("store", stop))
        projects, sealer = SqlProjects(engine), Sealer(settings.master_key)
        await check_master_key(projects, sealer)
        queue = open_queue(settings.redis_url)
        stack.push_async_callback(queue.aclose)
        await check_at_start(queue, settings)
        spool = await stack.enter_async_context(opened_spool(settings, meter))
        counted, users, keys = SqlLedger(engine), SqlUsers(engine), SqlApiKeys(engine)
        stored = (SqlEvents(engine), SqlSessions(engine))
        outside = Outside(
            queue, projects, counted, users, keys, *stored, sealer, spool, figures or meter
        )
        gateway = Gateway(settings, outside, meter)
        background = Background(stop)
        stack.push_async_callback(background.close)
        for task in gateway.tasks():
            background.start(task)
        if figures:
            background.start(figures.run())
        if spool and place.number == 0:
            background.start(adopt(spool, Path(settings.spool_dir), place.count))
        with suppress(TimeoutError):  # else the first requests of a restart would be refused
            await asyncio.wait_for(gateway.publisher.tried.wait(), FIRST_TRY_S)
        opened = stack.enter_context(place.sockets(settings))
        where = described(opened)
        gateway.port = int(where.get("port", 0))
        parts = (gateway.app(), gateway.endpoint, gateway.connections)
        listener = listening(*parts, opened, lane=bool(settings.lane))
        await stack.enter_async_context(listener)
        log.info("gateway listens", kernels="native" if NATIVE else "python", **where)
        yield gateway
