"""A project's ledger over HTTP: GET /api/projects/{id}/ledger, for its owner and for admins."""

from collections.abc import Awaitable, Callable
from typing import TypedDict

from aiohttp import web
from redis.asyncio import Redis

from core.ledger import Account, Totals, account
from core.partitions import partition_of
from core.ports import LedgerStore, ProjectStore
from gateway.api.guard import Asked, Guard, json_response
from gateway.api.owned import owned
from runtime.ledger import count_stream, read_book

Spooled = Callable[[str], Awaitable[int]]


class Shown(TypedDict):
    """A ledger: counts of events, and whether none is lost."""

    accepted: int
    stored: int
    duplicates: int
    deadLettered: int
    inFlight: int
    purged: int
    writtenOff: int
    spooled: int
    lost: int
    balanced: bool


class Ledgers:
    """The handler. `spooled`: how many events of a project wait in this gateway's spool, if it has
    one.
    """

    def __init__(
        self,
        queue: Redis,
        *,
        partitions: int,
        projects: ProjectStore,
        ledger: LedgerStore,
        spooled: Spooled | None = None,
    ) -> None:
        self._queue = queue
        self._partitions = partitions
        self._projects = projects
        self._ledger = ledger
        self._spooled = spooled

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The route."""
        return [guard.route("GET", "/api/projects/{id}/ledger", self._account, answer=Shown)]

    async def _account(self, asked: Asked) -> web.Response:
        project_id = asked.request.match_info["id"]
        await owned(self._projects, asked.caller, project_id)
        found, can_tell = await self._read(project_id)
        shown: Shown = {
            "accepted": found.accepted,
            "stored": found.stored,
            "duplicates": found.duplicates,
            "deadLettered": found.dead_lettered,
            "inFlight": found.in_flight,
            "purged": found.purged,
            "writtenOff": found.written_off,
            "spooled": found.spooled,
            "lost": found.lost,
            "balanced": can_tell and not found.lost,
        }
        return json_response(shown)

    async def _read(self, project_id: str) -> tuple[Account, bool]:
        """(the account, whether what is lost can be told)."""
        partition = partition_of(project_id, self._partitions)
        # What is stored is read in between: no later than what was accepted, so that no event is
        # stored and not accepted; and no earlier than what was settled, else it were a duplicate.
        before = await read_book(self._queue, partition)
        stored = (await self._ledger.stored([project_id])).get(project_id, 0)
        book = await read_book(self._queue, partition)
        settled = before.projects.get(project_id, Totals()).settled
        totals = book.projects.get(project_id, Totals())._replace(settled=settled)
        counted = await count_stream(self._queue, partition) if book.missing else None
        found = account(
            totals,
            stored=stored,
            in_stream=None if counted is None else counted[project_id],
            spooled=await self._spooled(project_id) if self._spooled else 0,
        )
        return found, not book.missing or counted is not None
