"""The worker's process: one consumer per partition, status pages, and a stop that finishes."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from socket import gethostname
from typing import Protocol

from aiohttp import web

from core.metrics import Meter
from core.settings import Settings
from runtime.background import Background, end
from runtime.garbage import set_aside
from runtime.log import get_log
from runtime.queue import open_queue
from runtime.status import add_fixed_headers, status_routes
from runtime.stop import stop_event
from runtime.waiting import told
from store.engine import open_engine
from store.events import SqlEvents
from store.ledger import SqlLedger
from store.migrate import migrate_at_start
from worker.books import Books
from worker.consumer import Consumer
from worker.drain import Drain

log = get_log()
FINISH_S = 20  # for the batch in hand, after SIGTERM
SHUTDOWN_S = 1  # for the status pages


async def run(settings: Settings, on_listen: Callable[[int], None] = lambda _port: None) -> None:
    """Drain until SIGTERM or SIGINT, then finish the batch in hand.

    on_listen: called with the status pages' port. Raises OSError if it cannot listen.
    """
    stop = stop_event()
    set_aside()  # a batch is tens of thousands of objects without a cycle
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate_at_start(engine, on_wait=told("store", stop))
        queue = open_queue(settings.redis_url)
        stack.push_async_callback(queue.aclose)
        meter = Meter("worker")
        name = settings.worker_name or gethostname()
        drain = Drain(SqlEvents(engine), meter, stop)
        books = Books(queue, SqlLedger(engine), settings=settings, meter=meter)
        background = Background(stop)
        stack.push_async_callback(background.close)
        background.start(books.run())
        consumers = [
            Consumer(
                queue,
                partition,
                name=name,
                drain=drain,
                books=books,
                settings=settings,
                meter=meter,
                stop=stop,
            )
            for partition in range(settings.partitions)
        ]

        app = web.Application()
        app.router.add_routes(status_routes(meter, lambda: _missing(drain, consumers, stop)))
        app.on_response_prepare.append(add_fixed_headers)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, settings.host, settings.worker_port).start()
        on_listen(runner.addresses[0][1])
        log.info("worker drains", partitions=settings.partitions, name=name)
        await run_until_stopped(consumers, stop)


def _missing(drain: Drain, consumers: Sequence[Consumer], stop: asyncio.Event) -> list[str]:
    """What keeps the worker from draining, a sentence each."""
    leaving = "The worker is shutting down" if stop.is_set() else ""
    stopped = [f"The drain is stopped: {c.breaker.why}" for c in consumers if c.breaker.why]
    return [why for why in (drain.away, *(c.away for c in consumers), leaving) if why] + stopped


class Runs(Protocol):
    """What a consumer is to its process."""

    async def run(self) -> None:
        """Work until stopped."""


async def run_until_stopped(consumers: Sequence[Runs], stop: asyncio.Event) -> None:
    """Run until `stop`, then give the batches in hand a bounded time. Raises a consumer's bug."""
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await stopped
    done, late = await asyncio.wait(tasks, timeout=FINISH_S)
    if late:
        log.warning("batch not finished; it stays pending and is stored after the next start")
    await end(*late)
    for task in done:
        task.result()
