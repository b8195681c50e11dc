"""What operators ask over HTTP: ledgers, and dead letters to look at, replay and purge.

Served only where CONTOX_OPERATOR_TOKEN is set; else there is nothing at these paths. The paths,
members and answers are in docs/PROTOCOL.md.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import hdrs, web
from redis.asyncio import Redis

from core.errors import AuthFailure, NotAccepted, Reason, Rejected, Unavailable, unauthorized
from core.event import IDENTIFIER
from core.ledger import Totals, account
from core.partitions import partition_of
from core.ports import LedgerStore, ProjectStore
from core.settings import Settings
from gateway.answers import JSON, not_accepted
from gateway.endpoint import to_response
from runtime import dead_letters
from runtime.dead_letters import LetterId, Outcome
from runtime.ledger import count_stream, read_book
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
LETTERS = "/api/v2/dead-letters"
PAGE_DEFAULT, PAGE_MAX = 50, 200
Handler = Callable[[web.Request], Awaitable[web.Response]]
Spooled = Callable[[str], Awaitable[int]]


class Resources:
    """The handlers. `spooled`: how many events of a project wait in this gateway's spool, if it has
    one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        queue: Redis,
        projects: ProjectStore,
        ledger: LedgerStore,
        spooled: Spooled | None = None,
    ) -> None:
        self._partitions = settings.partitions
        self._token = settings.operator_token
        self._queue = queue
        self._projects = projects
        self._ledger = ledger
        self._spooled = spooled

    def routes(self) -> list[web.RouteDef]:
        """The routes; none without a token."""
        if not self._token:
            return []
        return [
            web.get("/api/projects/{id}/ledger", self._guarded(self._account)),
            web.get(LETTERS, self._guarded(self._page)),
            web.get(LETTERS + "/{id}", self._guarded(self._letter)),
            web.delete(LETTERS + "/{id}", self._guarded(self._purge)),
            web.post(LETTERS + "/{id}/replay", self._guarded(self._replay)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        """The handler for those who have the token, with its failures answered."""

        async def guarded(request: web.Request) -> web.Response:
            try:
                self._check(request.headers.getall(hdrs.AUTHORIZATION, []))
                return await handler(request)
            except NotAccepted as error:
                return to_response(not_accepted(error))
            except QUEUE_ERRORS as error:
                log.warning("resource not served", path=request.path, error=str(error))
                return to_response(not_accepted(Unavailable()))

        return guarded

    def _check(self, authorization: list[str]) -> None:
        """Raises Rejected unless there is one header, with the token."""
        if len(authorization) != 1:
            raise unauthorized(AuthFailure.MISSING_HEADER)
        scheme, _, given = authorization[0].partition(" ")
        same = hmac.compare_digest(_digest(given.strip(" ")), _digest(self._token))
        if not same or scheme.lower() != "bearer":
            raise unauthorized(AuthFailure.BAD_SIGNATURE)

    async def _account(self, request: web.Request) -> web.Response:
        project_id = request.match_info["id"]
        project = await self._projects.find(project_id) if IDENTIFIER(project_id) else None
        if project is None or project.id != project_id:
            raise Rejected(Reason.NOT_FOUND, "There is no such project")
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
        can_tell = not book.missing or counted is not None
        return _json(
            {
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
        )

    async def _page(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            found = await dead_letters.page(
                self._queue,
                self._partitions,
                project=query.get("projectId") or None,
                limit=_limit(query),
                cursor=query.get("cursor") or None,
            )
        except ValueError:
            raise Rejected(Reason.BAD_REQUEST, "`cursor` is not one of a page's") from None
        letters = [dead_letters.public(letter) for letter in found.letters]
        return _json({"deadLetters": letters, "cursor": found.cursor})

    async def _letter(self, request: web.Request) -> web.Response:
        letter = await dead_letters.find(self._queue, _id(request))
        if letter is None:
            raise _no_letter()
        return _json(dead_letters.public(letter))

    async def _replay(self, request: web.Request) -> web.Response:
        letter_id = _id(request)
        (outcome,) = await dead_letters.replay(self._queue, [letter_id])
        if outcome is Outcome.NOT_OURS:
            raise Rejected(Reason.BAD_REQUEST, "It is no dead letter that can be replayed")
        log.info("dead letter replayed", id=str(letter_id), outcome=outcome.value)
        return _json({"replayed": outcome is Outcome.DONE})

    async def _purge(self, request: web.Request) -> web.Response:
        letter_id = _id(request)
        (outcome,) = await dead_letters.purge(self._queue, [letter_id])
        if outcome is Outcome.GONE:
            raise _no_letter()
        log.warning("dead letter purged", id=str(letter_id))
        return web.Response(status=204)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(PAGE_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= PAGE_MAX):
        raise Rejected(Reason.BAD_REQUEST, f"`limit` must be a whole number from 1 to {PAGE_MAX}")
    return int(text)


def _id(request: web.Request) -> LetterId:
    try:
        return dead_letters.parse_id(request.match_info["id"])
    except ValueError:
        raise _no_letter() from None


def _no_letter() -> Rejected:
    return Rejected(Reason.NOT_FOUND, "There is no such dead letter")


def _json(content: Any) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type=JSON)
