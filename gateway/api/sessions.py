"""Sessions over HTTP: GET and POST /api/v2/sessions; GET and PATCH /api/v2/sessions/{id}.

A session is known here from the moment on that it is open: one that is not in the store yet is
looked for among the open ones of the caller's projects, unless its id tells that it is over.
Closing is written first, then told to every process (gateway/sessions.py); asking for it again is
harmless.
"""

import os
import time
from typing import Annotated, Literal, TypedDict

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from core.errors import Reason, Rejected
from core.event import rfc_3339
from core.ids import ENTROPY_BYTES, session_id, time_ms_of
from core.ports import ProjectStore
from core.sessions import ACTIVE, CLOSED, SESSION_MS, SOURCE_MAX, Session, SessionStore
from core.words import IDENTIFIER
from gateway.api.dead_letters import PAGE_DEFAULT, Limit, limit_of
from gateway.api.events import AN_ID, Identifier
from gateway.api.guard import Asked, Guard, json_response
from gateway.api.owned import optional, owned, wanted
from gateway.sessions import Sessions as OpenSessions
from runtime.log import get_log

log = get_log()
PATH = "/api/v2/sessions"
STATUSES = (ACTIVE, CLOSED)
Source = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_.:-]{{1,{SOURCE_MAX}}}$")]


class NewSession(msgspec.Struct, rename="camel"):
    """What a session is opened with."""

    project_id: str
    source: Source | None = None


class Closing(msgspec.Struct):
    """What can be done to a session: it cannot be opened again."""

    status: Literal["closed"]


class Wanted(msgspec.Struct, rename="camel"):
    """The query parameters of a page."""

    project_id: Identifier
    status: Literal["active", "closed"] | UnsetType = UNSET
    limit: Limit = PAGE_DEFAULT


class Shown(TypedDict):
    """A session as the project's owner sees it."""

    id: str
    projectId: str
    startedAt: str | None
    status: str
    source: str | None
    messageCount: int
    summary: str | None
    updatedAt: str | None


class Page(TypedDict):
    """Sessions, and how many there are of that kind."""

    sessions: list[Shown]
    total: int


class Done(TypedDict):
    """A session that was opened or closed."""

    ok: bool
    sessionId: str


class Sessions:
    """The handlers."""

    def __init__(
        self, store: SessionStore, projects: ProjectStore, open_sessions: OpenSessions
    ) -> None:
        self._store = store
        self._projects = projects
        self._open = open_sessions

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", PATH, self._page, query=Wanted, answer=Page),
            guard.route("POST", PATH, self._create, body=NewSession, answer=Done),
            guard.route("GET", PATH + "/{id}", self._show, answer=Shown),
            guard.route("PATCH", PATH + "/{id}", self._close, body=Closing, answer=Done),
        ]

    async def _page(self, asked: Asked) -> web.Response:
        query = asked.request.query
        limit = limit_of(query)
        status = optional(query, "status", STATUSES.__contains__, " or ".join(STATUSES))
        project_id = wanted(query, "projectId", IDENTIFIER, AN_ID)
        await owned(self._projects, asked.caller, project_id)
        await self._record_open(project_id)
        now_ms = _now_ms()
        page = await self._store.page(project_id, status=status, now_ms=now_ms, limit=limit)
        shown = [_public(session, now_ms) for session in page.sessions]
        return json_response({"sessions": shown, "total": page.total})

    async def _create(self, asked: Asked) -> web.Response:
        given = await asked.json(NewSession)
        project = await owned(self._projects, asked.caller, given.project_id)
        now_ms = _now_ms()
        identity = session_id(now_ms, os.urandom(ENTROPY_BYTES))
        session = Session(identity, project.id, now_ms, given.source, updated_ms=now_ms)
        await self._record_open(project.id)  # the one that ends here
        await self._store.opened([session])
        await self._open.replace(project.id, identity)
        await self._store.close_others(project.id, identity, now_ms=now_ms)
        log.info("session opened", session=identity, project=project.id)
        return json_response({"ok": True, "sessionId": identity})

    async def _show(self, asked: Asked) -> web.Response:
        return json_response(_public(await self._find(asked), _now_ms()))

    async def _close(self, asked: Asked) -> web.Response:
        await asked.json(Closing)
        session = await self._find(asked)
        await self._store.close(session.id, now_ms=_now_ms())
        await self._open.close(session.project_id, session.id)
        log.info("session closed", session=session.id, project=session.project_id)
        return json_response({"ok": True, "sessionId": session.id})

    async def _find(self, asked: Asked) -> Session:
        """The session. Raises Rejected (not_found), whether it is another's or there is none."""
        identity, caller = asked.request.match_info["id"], asked.caller
        session = await self._store.get(identity) if IDENTIFIER(identity) else None
        if session is None and _may_be_open(identity, _now_ms()):
            visible = await self._projects.list(None if caller.is_admin else caller.user_id)
            current = await self._open.current([project.id for project in visible])
            if identity in current:
                await self._record({identity: current[identity]})
                session = await self._store.get(identity)
        project = await self._projects.get(session.project_id) if session else None
        if session is None or not caller.may(project.owner_id if project else None):
            raise Rejected(Reason.NOT_FOUND, "There is no such session")
        return session

    async def _record_open(self, project_id: str) -> None:
        """See that the store has the session that is open now."""
        current = await self._open.current([project_id])
        await self._record({i: p for i, p in current.items() if await self._store.get(i) is None})

    async def _record(self, current: dict[str, str]) -> None:
        sessions = [Session(i, project, time_ms_of(i)) for i, project in current.items()]
        await self._store.opened(sessions)


def _may_be_open(identity: str, now_ms: int) -> bool:
    """Whether it is the id of a session that has begun, and is not over yet by its age."""
    try:
        started_ms = time_ms_of(identity)
    except ValueError:
        return False
    return abs(now_ms - started_ms) < SESSION_MS


def _public(session: Session, now_ms: int) -> Shown:
    return {
        "id": session.id,
        "projectId": session.project_id,
        "startedAt": rfc_3339(session.started_ms),
        "status": session.status(now_ms),
        "source": session.source,
        "messageCount": session.message_count,
        "summary": session.summary,
        "updatedAt": rfc_3339(session.updated_ms),
    }


def _now_ms() -> int:
    return int(time.time() * 1000)
