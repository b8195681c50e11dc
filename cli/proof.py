"""Waiting for the drain, and reconciling a load test's outcome with the store."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from cli.errors import CliError
from core.errors import Unavailable
from core.partitions import dead_letter_key, stream_key
from core.settings import Settings, read
from loadtest.run import Outcome
from loadtest.verify import Verdict, reconcile
from runtime.queue import QUEUE_ERRORS, open_queue
from store.engine import open_engine
from store.events import SqlEvents

DRAIN_S = 120  # to wait for the backlog to empty
POLL_S = 0.3
AGAIN_MAX = 5  # looks at the store, while something acknowledged is missing
PAGE = 500


def prove(outcome: Outcome, environ: dict[str, str]) -> Verdict:
    """Wait for the worker, then compare. Raises CliError if the store cannot be read."""
    return asyncio.run(_prove(outcome, read(environ)))


async def _prove(outcome: Outcome, settings: Settings) -> Verdict:
    engine, queue = open_engine(settings.database_url), open_queue(settings.redis_url)
    try:
        await _drained(queue, settings.partitions)
        for attempt in range(AGAIN_MAX):
            verdict = await reconcile(
                outcome,
                SqlEvents(engine),
                project_id=outcome.plan.project,
                dead=_dead(queue, settings.partitions),
            )
            if not verdict.lost:
                break
            await asyncio.sleep(POLL_S * 2**attempt)
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is --database-url right?") from None
    except QUEUE_ERRORS as error:
        raise CliError(f"The queue cannot be read: {error}; is --redis-url right?") from None
    finally:
        await engine.dispose()
        await queue.aclose()
    return verdict


async def _drained(queue: Redis, partitions: int) -> None:
    """Wait until the streams are empty: everything accepted is stored or a dead letter."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + DRAIN_S
    while loop.time() < until_s:
        try:
            if not sum([await queue.xlen(stream_key(n)) for n in range(partitions)]):
                return
        except QUEUE_ERRORS:
            if loop.time() + POLL_S >= until_s:
                raise
        await asyncio.sleep(POLL_S)


async def _dead(queue: Redis, partitions: int) -> AsyncIterator[str]:
    """The event ids of all dead letters, a page at a time."""
    for partition in range(partitions):
        after = "-"
        while True:
            letters: Any = await queue.xrange(dead_letter_key(partition), min=after, count=PAGE)
            for _, fields in letters:
                yield fields.get(b"eventId", b"").decode()
            if len(letters) < PAGE:
                break
            after = "(" + letters[-1][0].decode()
