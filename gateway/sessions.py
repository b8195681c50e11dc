"""Which session an event joins: the project's open one, for four hours from its start.

    contox:session:<project> := the session's id, until it ends
    contox:sessions          := numbered news (gateway/channel.py) of sessions that were closed or
                                replaced: "<project> <the session that is over, or ->"

The first gateway to see an event of a project without an open session sets the key; the others find
it. The start is in the id, so every process knows the end without asking.

Requirements  A session that is closed takes no more events, in every process, within a second.
Solution      Whoever closes it deletes the key, and tells all on the channel; who hears of it, or
              has missed something, forgets the project's session.
Cost          Two questions a second and process. A gateway that is cut off from the queue, and
              takes events into a spool, goes on with the session that it has.

Where a spool takes events while the queue is away, a gateway opens a provisional session by itself,
and proposes that one when the queue is back: it becomes the project's, unless another gateway was
first; then events join that one from then on.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis

from core.errors import Reason, Unavailable
from core.ids import ENTROPY_BYTES, session_id, time_ms_of
from core.sessions import SESSION_MS, Session
from gateway.channel import News, tell
from gateway.standings import Standings
from runtime.queue import QUEUE_ERRORS

CHANNEL = "contox:sessions"
ANSWER_S = 2.0  # for a change that somebody waits for
ASK_TIMEOUT_S = 1.0  # where a provisional session can be had instead
READ_MAX = 1_000  # projects whose sessions are asked for at once
NONE = "-"
CLOSE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class _Open(NamedTuple):
    session: str
    ends_ms: int
    provisional: bool  # opened here, and the queue does not know of it


class Sessions:
    """The open session of each project, cached in memory for as long as it lasts.

    standings: told of what is over here.
    away: tells whether the queue is away; given only where events are taken all the same.
    opened: told of each session that this process has opened; must not wait.
    """

    def __init__(
        self,
        queue: Redis,
        *,
        entries_max: int,
        standings: Standings | None = None,
        away: Callable[[], bool] | None = None,
        opened: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        self._queue = queue
        self._entries_max = entries_max
        self._standings = standings or Standings(1)
        self._away = away
        self._opened = opened
        self._news = News(queue, CHANNEL, heard=self._heard, missed=self._missed)
        self._forgotten = 0  # times that something was
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

    def shared(self, project_id: str) -> tuple[str, int] | None:
        """The session in memory and when it ends, Unix ms; None if the queue knows of none."""
        found = self._open.get(project_id)
        return None if found is None or found.provisional else (found.session, found.ends_ms)

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

    async def current(self, project_ids: list[str]) -> dict[str, str]:
        """The sessions that are open now, as the queue knows them, by id: their projects.

        This and the calls below raise one of QUEUE_ERRORS.
        """
        found: dict[str, str] = {}
        for first in range(0, len(project_ids), READ_MAX):
            some = project_ids[first : first + READ_MAX]
            async with asyncio.timeout(ANSWER_S):
                values: list[Any] = await self._queue.mget(
                    [_key(project_id) for project_id in some]
                )
            pairs = zip(values, some, strict=True)
            found |= {value.decode(): project for value, project in pairs if value}
        return found

    async def replace(self, project_id: str, session: str) -> None:
        """Open this session instead of the one that is open, and tell every process."""
        async with asyncio.timeout(ANSWER_S):
            end_ms = time_ms_of(session) + SESSION_MS
            await self._queue.set(_key(project_id), session, pxat=end_ms)
            await self._tell(project_id, NONE)

    async def close(self, project_id: str, session: str) -> None:
        """Let no more events join this session, in any process."""
        async with asyncio.timeout(ANSWER_S):
            await self._queue.eval(CLOSE, 1, _key(project_id), session)
            await self._tell(project_id, session)

    async def _tell(self, project_id: str, session: str) -> None:
        await tell(self._queue, CHANNEL, f"{project_id} {session}")

    async def follow(self) -> None:
        """Listen for sessions that are closed elsewhere until cancelled."""
        await self._news.follow()

    def _heard(self, text: str) -> None:
        project_id, session = text.split(" ")
        self._forget(project_id, session)

    def _missed(self) -> None:
        """Sessions may be closed that are open here."""
        for project_id in list(self._open):
            self._forget(project_id, NONE)
        self._forgotten += 1  # a question may be under way, too
        self._asking.clear()

    def _forget(self, project_id: str, closed: str) -> None:
        """Drop the project's session, unless it is provisional and not the one that is closed."""
        self._forgotten += 1
        self._asking.pop(project_id, None)  # who comes now must not be told what was before
        found = self._open.get(project_id)
        if found and (not found.provisional or found.session == closed):
            self._drop(project_id)

    def _finish(self, project_id: str, asking: asyncio.Task[str]) -> None:
        if self._asking.get(project_id) is asking:
            del self._asking[project_id]
        if not asking.cancelled():
            asking.exception()  # each waiter has been told; none may be left

    async def _ask(self, project_id: str, now_ms: int) -> str:
        new, forgotten = self._proposal(project_id, now_ms), self._forgotten
        try:
            async with asyncio.timeout(None if self._away is None else ASK_TIMEOUT_S):
                session = await self._propose(project_id, new)
        except QUEUE_ERRORS as error:
            if self._away is None:
                raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error
            session = self._provisional(project_id, now_ms) or new  # opened while this one waited
            return self._keep(project_id, session, provisional=True)
        if session == new:
            started_ms = time_ms_of(new)
            self._opened(Session(new, project_id, started_ms, updated_ms=started_ms))
        if forgotten != self._forgotten:  # it may be over by now: the next one asks again
            return session
        return self._keep(project_id, session, provisional=False)

    async def _propose(self, project_id: str, new: str) -> str:
        """The session that counts: `new`, or the one that is open already."""
        key, ends_ms = _key(project_id), time_ms_of(new) + SESSION_MS
        current = await self._queue.set(key, new, nx=True, get=True, pxat=ends_ms)
        return current.decode() if isinstance(current, bytes) else new

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
        self._drop(project_id)
        while len(self._open) >= self._entries_max:
            self._drop(next(iter(self._open)))
        ends_ms = time_ms_of(session) + SESSION_MS
        self._open[project_id] = _Open(session, ends_ms, provisional)
        return session

    def _drop(self, project_id: str) -> None:
        self._open.pop(project_id, None)
        self._standings.forget(project_id)


def _key(project_id: str) -> str:
    return f"contox:session:{project_id}"
