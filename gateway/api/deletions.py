"""Projects deleted with their events: in batches, beside the requests.

Requirements  Millions of events must not be one statement; a crash must not leave half of it; what
              the queue holds of the project still must not be stored after its events are gone.
Solution      The project is marked first, which stops its ingest. Then batches, until none of its
              events was in flight and then none stored; then its sessions, and last the project
              itself. A process that starts goes on with what is marked; two at the same are
              harmless.
Cost          What a gateway's spool, or the dead letters, hold of the project stays there.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from core.errors import Refused, Unavailable
from core.ports import EventStore, ProjectStore
from core.sessions import SessionStore
from gateway.api.project_changes import DELETING, ProjectChanges
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS, Backoff

log = get_log()
BATCH = 1_000  # events in one transaction: some 10 ms, in which an SQLite file takes no other
PAUSE_S = 0.02  # between two, for those that wait meanwhile
DRAIN_POLL_S = 0.5
DRAIN_S = 60  # for what is in flight; what comes later stays
InFlight = Callable[[str], Awaitable[int]]


async def delete_events(
    events: EventStore, project_id: str, in_flight: InFlight
) -> tuple[int, int]:
    """Delete the events of a project that is marked: those stored, and those in the queue once they
    are, for at most DRAIN_S. Returns (how many were deleted, how many are in the queue still).

    in_flight: how many events of a project are in the queue. Raises what that raises, Unavailable,
    and Refused.
    """
    now_s, deleted, until_s = asyncio.get_running_loop().time, 0, math.inf
    while True:
        left = await in_flight(project_id)  # asked first: if none is, all there are get deleted now
        while batch := await events.delete(project_id, limit=BATCH):
            deleted += batch
            await asyncio.sleep(PAUSE_S)
        if not left or now_s() > until_s:
            return deleted, left
        until_s = min(until_s, now_s() + DRAIN_S)
        await asyncio.sleep(DRAIN_POLL_S)


class Deletions:
    """Deletes what is started. `run` must be running. in_flight: how many events of a project are
    in the queue."""

    def __init__(
        self,
        changes: ProjectChanges,
        events: EventStore,
        sessions: SessionStore,
        in_flight: InFlight,
    ) -> None:
        self._changes = changes
        self._projects: ProjectStore = changes.projects
        self._events = events
        self._sessions = sessions
        self._in_flight = in_flight
        self._due: asyncio.Queue[str] = asyncio.Queue()

    def start(self, project_id: str) -> None:
        """Delete a project that is marked, with its events."""
        self._due.put_nowait(project_id)

    async def run(self) -> None:
        """Delete until cancelled; first what an earlier process has left."""
        backoff, found = Backoff(), False
        while True:
            try:
                if not found:
                    marked = [p for p in await self._projects.list() if p.status == DELETING]
                    found = True
                    for project in marked:
                        self.start(project.id)
                await self._delete(await self._due.get())
                backoff.reset()
            except (Unavailable, Refused, *QUEUE_ERRORS) as error:
                log.warning("deletion of a project waits", error=str(error))
                found = False  # it is still marked
                await backoff.wait()

    async def _delete(self, project_id: str) -> None:
        project = await self._projects.get(project_id)
        if project is None or project.status != DELETING:
            return
        deleted, left = await delete_events(self._events, project_id, self._in_flight)
        await self._sessions.delete(project_id)
        await self._changes.delete(project_id)
        log.warning(
            "project and its events are gone", project=project_id, events=deleted, left=left
        )
