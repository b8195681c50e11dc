"""Sessions: what a project's events of some hours have in common, and their store.

As in core/ports.py the port is a contract, with a suite in tests/contracts/.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol

SESSION_MS = 4 * 3600 * 1000
ACTIVE, CLOSED = "active", "closed"
SOURCE_MAX = 64  # characters


class Session(NamedTuple):
    """One row of the table `ingest_sessions`, in the order of its columns."""

    id: str
    project_id: str
    started_ms: int
    source: str | None = None  # what opened it, if it said so
    summary: str | None = None
    message_count: int = 0  # events that were ever stored in it
    first_ms: int | None = None  # when the first of them was received, and the last
    last_ms: int | None = None
    updated_ms: int = 0
    closed_ms: int | None = None

    def status(self, now_ms: int) -> str:
        """Whether events may join it still: not once it is closed, or four hours old."""
        is_over = self.closed_ms is not None or now_ms >= self.started_ms + SESSION_MS
        return CLOSED if is_over else ACTIVE


class SessionPage(NamedTuple):
    """Sessions newest first, and how many there are of that kind."""

    sessions: list[Session]
    total: int


class SessionStore(Protocol):
    """Sessions. What counts their events is EventStore.write, in the transaction that stores them;
    it adds a session that nobody has told of."""

    async def opened(self, sessions: Collection[Session]) -> None:
        """Keep sessions that were opened. Of one that is there, only a missing source is set."""

    async def get(self, session_id: str) -> Session | None:
        """The session with this id."""

    async def page(
        self, project_id: str, *, status: str | None, now_ms: int, limit: int
    ) -> SessionPage:
        """At most `limit` of a project's sessions; of one status at `now_ms`, or of both."""

    async def close(self, session_id: str, *, now_ms: int) -> None:
        """Note that a session takes no more events; nothing happens to one that is closed.

        The gateways are told elsewhere: gateway/sessions.py.
        """

    async def close_others(self, project_id: str, session_id: str, *, now_ms: int) -> None:
        """The same for all active sessions of the project but this one."""

    async def delete(self, project_id: str) -> None:
        """Forget a project's sessions."""
