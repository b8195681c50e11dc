"""Which session an event joins: the project's open one, for four hours from its start.

    contox:session:<project> := the session's id, until it ends

The first gateway to see an event of a project without an open session sets the key; the others find
it. The start is in the id, so every process knows the end without asking.

Where a spool takes events while the queue is away, a gateway opens a provisional session by itself,
and proposes that one when the queue is back: it becomes the project's, unless another gateway was
first; then events join that one from then on.
"""

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from redis.asyncio import Redis

from core.errors import Reason, Unavailable
from core.ids import ENTROPY_BYTES, session_id, time_ms_of
from core.sessions import SESSION_MS
from runtime.queue import QUEUE_ERRORS

ASK_TIMEOUT_S = 1.0  # where a provisional session can be had instead


class _Open(NamedTuple):
    session: str
    ends_ms: int
    provisional: bool  # opened here, and the queue does not know of it


class Sessions:
    """The open session of each project, cached in memory for as long as it lasts.

    away: tells whether the queue is away; given only where events are taken all the same.
    """

    def __init__(
        self, queue: Redis, *, entries_max: int, away: Callable[[], bool] | None = None
    ) -> None:
        self._queue = queue
        self._entries_max = entries_max
        self._away = away
        self._open: dict[str, _Open] = {}
        self._asking: dict[str, asyncio.Task[str]] = {}

    def cached(self, project_id: str, now_ms: int) -> str | None:
        """The open session if memory has it; None means: ask `join`."""
        found = self._open.get(project_id)
        if found is None or found.ends_ms <= now_ms:
            return None
        if found.provisional and self._away is not None and not self._away():
            return None
        return found.session

    async def join(self, project_id: str, now_ms: int) -> str:
        """The project's open session, opened if there is none; asked once for all who wait.

        Raises Unavailable, unless sessions can be provisional.
        """
        if self._away is not None and self._away():
            return self._keep(project_id, self._proposal(project_id, now_ms), provisional=True)
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
        new = self._proposal(project_id, now_ms)
        try:
            async with asyncio.timeout(None if self._away is None else ASK_TIMEOUT_S):
                session = await self._propose(project_id, new)
        except QUEUE_ERRORS as error:
            if self._away is None:
                raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error
            session = self._provisional(project_id, now_ms) or new  # opened while this one waited
            return self._keep(project_id, session, provisional=True)
        return self._keep(project_id, session, provisional=False)

    async def _propose(self, project_id: str, new: str) -> str:
        """The session that counts: `new`, or the one that is open already."""
        key = f"contox:session:{project_id}"
        async with self._queue.pipeline(transaction=True) as pipe:
            pipe.set(key, new, nx=True, pxat=time_ms_of(new) + SESSION_MS)
            pipe.get(key)
            _, current = await pipe.execute()
        return current.decode() if current else new

    def _proposal(self, project_id: str, now_ms: int) -> str:
        """The provisional session while it lasts, or else a new id."""
        new = session_id(now_ms, os.urandom(ENTROPY_BYTES))
        return self._provisional(project_id, now_ms) or new

    def _provisional(self, project_id: str, now_ms: int) -> str | None:
        found = self._open.get(project_id)
        if found and found.provisional and found.ends_ms > now_ms:
            return found.session
        return None

    def _keep(self, project_id: str, session: str, *, provisional: bool) -> str:
        self._open.pop(project_id, None)
        while len(self._open) >= self._entries_max:
            del self._open[next(iter(self._open))]
        ends_ms = time_ms_of(session) + SESSION_MS
        self._open[project_id] = _Open(session, ends_ms, provisional)
        return session
