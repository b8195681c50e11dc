"""Sessions that this process has opened, written to the store beside the requests.

What is lost with a process is made up for: the store adds a session with its first event.
"""

import asyncio

from core.errors import Refused, Unavailable
from core.sessions import Session, SessionStore
from runtime.log import get_log
from runtime.queue import Backoff

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
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.write()
                backoff.reset()
            except (Unavailable, Refused) as error:
                log.warning("opened sessions not written", error=str(error))
                self._wake.set()
                await backoff.wait()

    async def write(self) -> None:
        """Write what is due. Raises Unavailable or Refused; then it still is."""
        due, self._due = self._due, {}
        try:
            await self._store.opened(list(due.values()))
        except BaseException:  # cancelled too: it is still due; raised on
            self._due = {**due, **self._due}
            raise
