"""Tasks that run as long as their process; one that fails takes the process down, loudly."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from runtime.log import get_log

log = get_log()
CANCEL_S = 2  # for a task to clean up, before it is cancelled once more


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
        pending = set(self._tasks)
        while pending:
            for task in pending:
                task.cancel()
            # Again, until it is heeded: a cancellation that meets a failing connection can be lost
            # in a client's error handling, and the task would wait for its next try for ever.
            _, pending = await asyncio.wait(pending, timeout=CANCEL_S)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.failure:
            raise self.failure

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self.failure = self.failure or task.exception()
        log.error("background task failed", exc_info=task.exception())
        self._stop.set()
