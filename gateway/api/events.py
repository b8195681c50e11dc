"""Stored events over HTTP: GET /api/v2/events, newest first, and GET /api/v2/events/{id}.

Of a project that is deleted, admins still see the events that were kept.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from redis.asyncio import Redis

from core.errors import Reason, Rejected
from core.event import (
    Row,
    occurred_ms,
    rfc_3339,
)
from core.ports import EventFilter, EventStore, ProjectStore, cursor_after
from core.words import IDENTIFIER, IDENTIFIER_TEXT, NAME, NAME_TEXT
from gateway.api.dead_letters import PAGE_DEFAULT, Limit, limit_of
from gateway.api.guard import Asked, Guard, json_response
from gateway.api.owned import optional, owned, wanted
from runtime.dead_letter_search import letter_of_event
from runtime.dead_letters import Letter

PATH = "/api/v2/events"
CURSOR_TEXT = f"[0-9]{{1,15}}-{IDENTIFIER_TEXT}"
CURSOR = re.compile(CURSOR_TEXT).fullmatch
Identifier = Annotated[str, Meta(pattern=f"^{IDENTIFIER_TEXT}$")]
Moment = Annotated[
    str,
    Meta(extra_json_schema={"anyOf": [{"format": "date-time"}, {"pattern": "^[0-9]{1,11}$"}]}),
]
AN_ID = "1 to 64 characters of A-Z a-z 0-9 _ . : -"
A_NAME = "1 to 128 characters of A-Z a-z 0-9 _ . : -"
A_TIME = "RFC 3339, such as 2026-01-15T10:30:00Z, or Unix seconds"
READ_MAX = 50  # events at once; each may be as large as a body
PAGE_BYTES_MAX = 4 << 20  # of payloads; a page that would be larger is shorter


class OfProject(msgspec.Struct, rename="camel"):
    """The query parameter of one event."""

    project_id: Identifier


class Wanted(OfProject):
    """The query parameters of a page."""

    session_id: Identifier | UnsetType = UNSET
    event: Annotated[str, Meta(pattern=f"^{NAME_TEXT}$")] | UnsetType = UNSET
    after: Moment | UnsetType = UNSET
    before: Moment | UnsetType = UNSET
    limit: Limit = PAGE_DEFAULT
    cursor: Annotated[str, Meta(pattern=f"^{CURSOR_TEXT}$")] | UnsetType = UNSET


class Shown(TypedDict):
    """A stored event."""

    eventId: str
    projectId: str
    sessionId: str
    event: str
    payload: Any  # an object, byte for byte as it was signed
    timestamp: str | None
    receivedAt: str | None
    source: str | None


class DeadLetter(TypedDict):
    """Why an event is not stored."""

    id: str
    why: str


class Found(Shown):
    """One event, and where it is."""

    status: str
    deadLetter: DeadLetter | None


class Page(TypedDict):
    """Events, and where the next page begins."""

    events: list[Shown]
    cursor: str | None


class Events:
    """The handlers."""

    def __init__(
        self, events: EventStore, projects: ProjectStore, queue: Redis, *, partitions: int
    ) -> None:
        self._events = events
        self._projects = projects
        self._queue = queue
        self._partitions = partitions

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", PATH, self._page, query=Wanted, answer=Page),
            guard.route("GET", PATH + "/{id}", self._one, query=OfProject, answer=Found),
        ]

    async def _page(self, asked: Asked) -> web.Response:
        query = asked.request.query
        limit, cursor = limit_of(query), query.get("cursor") or None
        if cursor is not None and not CURSOR(cursor):
            raise Rejected(Reason.BAD_REQUEST, "`cursor` is not one of a page's")
        filters = _filters(query)
        await self._check(asked, filters.project_id)
        rows: list[Row] = []
        size = 0
        while len(rows) < limit and size < PAGE_BYTES_MAX:
            try:
                count = min(READ_MAX, limit - len(rows))
                page = await self._events.page(filters, limit=count, cursor=cursor)
            except ValueError:
                raise Rejected(Reason.BAD_REQUEST, "`cursor` is not one of a page's") from None
            rows += page.rows
            size += sum(len(row.payload) for row in page.rows)
            cursor = page.cursor
            if cursor is None:
                break
        shown = _within(rows, PAGE_BYTES_MAX)
        if len(shown) < len(rows):
            cursor = cursor_after(shown[-1])
        return json_response({"events": [public(row) for row in shown], "cursor": cursor})

    async def _one(self, asked: Asked) -> web.Response:
        event_id = asked.request.match_info["id"]
        project_id = wanted(asked.request.query, "projectId", IDENTIFIER, AN_ID)
        await self._check(asked, project_id)
        if IDENTIFIER(event_id):
            if row := await self._events.get(project_id, event_id):
                return json_response({**public(row), "status": "stored", "deadLetter": None})
            letter = await letter_of_event(
                self._queue, self._partitions, project=project_id, event_id=event_id
            )
            if letter and letter.row:
                return json_response(_dead(letter, letter.row))
        raise Rejected(Reason.NOT_FOUND, "There is no such event")

    async def _check(self, asked: Asked, project_id: str) -> None:
        if not asked.caller.is_admin:
            await owned(self._projects, asked.caller, project_id)


def _filters(query: Mapping[str, str]) -> EventFilter:
    """What is asked for. Raises Rejected (bad_request)."""
    return EventFilter(
        wanted(query, "projectId", IDENTIFIER, AN_ID),
        optional(query, "sessionId", IDENTIFIER, AN_ID),
        optional(query, "event", NAME, A_NAME),
        _time_ms(query, "after"),
        _time_ms(query, "before"),
    )


def _time_ms(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name) or None
    if text is None:
        return None
    try:
        is_number = text.isascii() and text.isdigit() and len(text) < 13
        return occurred_ms(int(text) if is_number else text)
    except ValueError:
        raise Rejected(Reason.BAD_REQUEST, f"`{name}` must be {A_TIME}") from None


def _within(rows: list[Row], bytes_max: int) -> list[Row]:
    """The first rows whose payloads are within a bound together; one at least."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row.payload)
        if count and size > bytes_max:
            return rows[:count]
    return rows


def public(row: Row) -> Shown:
    """An event as the API and the command line show it, for orjson."""
    return {
        "eventId": row.event_id,
        "projectId": row.project_id,
        "sessionId": row.session_id,
        "event": row.event,
        "payload": orjson.Fragment(row.payload),
        "timestamp": rfc_3339(row.occurred_ms),
        "receivedAt": rfc_3339(row.received_ms),
        "source": row.source,
    }


def _dead(letter: Letter, row: Row) -> Found:
    about: DeadLetter = {"id": str(letter.id), "why": letter.why}
    return {**public(row), "status": "dead_lettered", "deadLetter": about}
