"""Which session an event joins: the project's open one, for four hours from its start.

    contox:session:<project> := the session's id, until it ends

The first gateway to see an event of a project without an open session sets the key; the others find
it. The start is in the id, so every process knows the end without asking.
"""

import asyncio
import os

from redis.asyncio import Redis

from core.errors import Reason, Unavailable
from core.ids import ENTROPY_BYTES, session_id, time_ms_of
from runtime.queue import QUEUE_ERRORS

SESSION_MS = 4 * 3600 * 1000


class Sessions:
    """The open session of each project, cached in memory for as long as it lasts."""

    def __init__(self, queue: Redis, *, entries_max: int) -> None:
        self._queue = queue
        self._entries_max = entries_max
        self._open: dict[str, tuple[str, int]] = {}
        self._asking: dict[str, asyncio.Task[str]] = {}

    def cached(self, project_id: str, now_ms: int) -> str | None:
        """The open session if memory has it; None means: ask `join`."""
        found = self._open.get(project_id)
        if found is None or found[1] <= now_ms:
            return None
        return found[0]

    async def join(self, project_id: str, now_ms: int) -> str:
        """The project's open session, opened if there is none; asked once for all who wait.

        Raises Unavailable.
        """
        asking = self._asking.get(project_id)
        if asking is None:
            asking = asyncio.create_task(self._ask(project_id, now_ms))
            self._asking[project_id] = asking
            asking.add_done_callback(lambda done: self._finish(project_id, done))
        return await asyncio.shield(asking)

    def _finish(self, project_id: str, asking: asyncio.Task[str]) -> None:
        del self._asking[project_id]
        if not asking.cancelled():
            asking.exception()  # each waiter has been told; none may be left

    async def _ask(self, project_id: str, now_ms: int) -> str:
        key = f"contox:session:{project_id}"
        new = session_id(now_ms, os.urandom(ENTROPY_BYTES))
        try:
            async with self._queue.pipeline(transaction=True) as pipe:
                pipe.set(key, new, nx=True, pxat=now_ms + SESSION_MS)
                pipe.get(key)
                _, current = await pipe.execute()
        except QUEUE_ERRORS as error:
            raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error
        session = current.decode() if current else new
        ends_ms = time_ms_of(session) + SESSION_MS
        while len(self._open) >= self._entries_max:
            del self._open[next(iter(self._open))]
        self._open[project_id] = session, ends_ms
        return session
