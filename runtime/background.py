"""Tasks that run as long as their process; one that fails takes the process down, loudly. Among
them are writers beside the requests."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
CANCEL_S = 1.0  # for a task to clean up, before it is cancelled once more


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they do.

    Once is not enough: before Python 3.12, asyncio.wait_for loses a cancellation that comes just
    as what it waits for is done (https://github.com/python/cpython/issues/86296), and the queue's
    client waits like that at each write.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=CANCEL_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # looked at, or asyncio would log it


class Background:
    """Owns tasks. `stop` is set when one of them fails, so that the process ends in order."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._tasks: list[asyncio.Task[Any]] = []
        self.failure: BaseException | None = None

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine until `close`."""
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._on_done)
        self._tasks.append(task)

    async def close(self) -> None:
        """Cancel the tasks and wait for their end. Raises what one of them failed with."""
        await end(*self._tasks)
        if self.failure:
            raise self.failure

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self.failure = self.failure or task.exception()
        log.error("background task failed", exc_info=task.exception())
        self._stop.set()


async def write_when_due(due: asyncio.Event, write: Callable[[], Awaitable[bool]]) -> None:
    """Write beside the requests, whenever `due` is set, until cancelled.

    write: False means that it failed, and is to be tried again after a while; it may set `due`.
    """
    backoff = Backoff()
    while True:
        await due.wait()
        due.clear()
        if await write():
            backoff.reset()
        else:
            due.set()
            await backoff.wait()
