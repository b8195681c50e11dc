"""Sessions that this process has opened, written to the store beside the requests.

What is lost with a process is made up for: the store adds a session with its first event.
"""

import asyncio

from core.errors import Refused, Unavailable
from core.sessions import Session, SessionStore
from runtime.background import write_when_due
from runtime.log import get_log

log = get_log()
DUE_MAX = 10_000  # sessions; beyond it they are known once they have an event


class SessionRecords:
    """Sessions on their way to the store. `run` must be running."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._due: dict[str, Session] = {}
        self._wake = asyncio.Event()

    def note(self, session: Session) -> None:
        """A session is opened. Never waits."""
        if len(self._due) < DUE_MAX:
            self._due[session.id] = session
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; what the store is away for is written when it is back."""
        await write_when_due(self._wake, self.write)

    async def write(self) -> bool:
        """Write what is due; False: it still is."""
        due, self._due = self._due, {}
        try:
            await self._store.opened(list(due.values()))
        except (Unavailable, Refused) as error:
            log.warning("opened sessions not written", error=str(error))
            self._due = {**due, **self._due}
            return False
        return True
