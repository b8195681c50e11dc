"""Dead letters over HTTP, for admins: to look at, replay and purge. See docs/PROTOCOL.md."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from redis.asyncio import Redis

from core.errors import Reason, Rejected
from gateway.api.guard import Access, Asked, Guard, json_response
from runtime import dead_letters
from runtime.dead_letters import LetterId, Outcome
from runtime.log import get_log

log = get_log()
LETTERS = "/api/v2/dead-letters"
PAGE_DEFAULT, PAGE_MAX = 50, 200
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]


class Wanted(msgspec.Struct, rename="camel"):
    """The query parameters of a page."""

    project_id: str | UnsetType = UNSET
    limit: Limit = PAGE_DEFAULT
    cursor: Annotated[str, Meta(pattern=f"^{dead_letters.ID_TEXT}$")] | UnsetType = UNSET


class Letter(TypedDict):
    """A dead letter; what is not known is null."""

    id: str
    projectId: str
    eventId: str | None
    event: str | None
    sessionId: str | None
    why: str
    receivedAt: str | None
    timestamp: str | None
    payload: dict[str, Any] | None
    events: int
    unreadable: bool


class Page(TypedDict):
    """Dead letters, and where the next page begins."""

    deadLetters: list[Letter]
    cursor: str | None


class Replayed(TypedDict):
    """Whether a dead letter was there to be replayed."""

    replayed: bool


class DeadLetters:
    """The handlers."""

    def __init__(self, queue: Redis, *, partitions: int) -> None:
        self._queue = queue
        self._partitions = partitions

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", LETTERS, self._page, Access.ADMIN, query=Wanted, answer=Page),
            guard.route("GET", LETTERS + "/{id}", self._letter, Access.ADMIN, answer=Letter),
            guard.route("DELETE", LETTERS + "/{id}", self._purge, Access.ADMIN, status=204),
            guard.route(
                "POST", LETTERS + "/{id}/replay", self._replay, Access.ADMIN, answer=Replayed
            ),
        ]

    async def _page(self, asked: Asked) -> web.Response:
        query = asked.request.query
        try:
            found = await dead_letters.page(
                self._queue,
                self._partitions,
                project=query.get("projectId") or None,
                limit=limit_of(query),
                cursor=query.get("cursor") or None,
            )
        except ValueError:
            raise Rejected(Reason.BAD_REQUEST, "`cursor` is not one of a page's") from None
        letters = [dead_letters.public(letter) for letter in found.letters]
        return json_response({"deadLetters": letters, "cursor": found.cursor})

    async def _letter(self, asked: Asked) -> web.Response:
        letter = await dead_letters.find(self._queue, _id(asked))
        if letter is None:
            raise _no_letter()
        return json_response(dead_letters.public(letter))

    async def _replay(self, asked: Asked) -> web.Response:
        letter_id = _id(asked)
        (outcome,) = await dead_letters.replay(self._queue, [letter_id])
        if outcome is Outcome.NOT_OURS:
            raise Rejected(Reason.BAD_REQUEST, "It is no dead letter that can be replayed")
        log.info("dead letter replayed", id=str(letter_id), outcome=outcome.value)
        return json_response({"replayed": outcome is Outcome.DONE})

    async def _purge(self, asked: Asked) -> web.Response:
        letter_id = _id(asked)
        (outcome,) = await dead_letters.purge(self._queue, [letter_id])
        if outcome is Outcome.GONE:
            raise _no_letter()
        log.warning("dead letter purged", id=str(letter_id))
        return web.Response(status=204)


def limit_of(query: Mapping[str, str]) -> int:
    """How much a page may hold. Raises Rejected (bad_request)."""
    text = query.get("limit", str(PAGE_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= PAGE_MAX):
        raise Rejected(Reason.BAD_REQUEST, f"`limit` must be a whole number from 1 to {PAGE_MAX}")
    return int(text)


def _id(asked: Asked) -> LetterId:
    try:
        return dead_letters.parse_id(asked.request.match_info["id"])
    except ValueError:
        raise _no_letter() from None


def _no_letter() -> Rejected:
    return Rejected(Reason.NOT_FOUND, "There is no such dead letter")
