"""A project's signing secret: read, and rotated.

GET  /api/projects/{id}/hmac-secret  {"hmacSecret"}, and while an older secret still verifies
                                     "previousExpiresAt" and "previousLastUsed" of that
POST /api/projects/{id}/rotate       {graceSeconds?} -> all three
"""

from typing import Annotated, NotRequired, TypedDict

import msgspec
from aiohttp import web
from msgspec import Meta

from core.errors import Reason, Rejected, Unavailable
from core.event import rfc_3339
from core.ports import EventStore, Project
from gateway.api.guard import Asked, Guard, json_response
from gateway.api.owned import owned
from gateway.api.project_changes import DELETING, ProjectChanges
from runtime.log import get_log
from store.sealing import SealError

log = get_log()
GRACE_S_MAX = 365 * 86_400


class Grace(msgspec.Struct, rename="camel"):
    """How long the old secret verifies; none is what the setting says."""

    grace_seconds: Annotated[float, Meta(ge=0, le=GRACE_S_MAX, multiple_of=1)] | None = None


class Rotated(TypedDict):
    """A new secret, and how long the old one lasts."""

    hmacSecret: str
    previousExpiresAt: str | None
    previousLastUsed: str | None


class Shown(TypedDict):
    """The current secret; the others are there while an older one verifies."""

    hmacSecret: str
    previousExpiresAt: NotRequired[str | None]
    previousLastUsed: NotRequired[str | None]


class ProjectSecrets:
    """The handlers. grace_s: by default."""

    def __init__(self, changes: ProjectChanges, events: EventStore, *, grace_s: int) -> None:
        self._changes = changes
        self._events = events
        self._grace_s = grace_s

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", "/api/projects/{id}/hmac-secret", self._show, answer=Shown),
            guard.route(
                "POST",
                "/api/projects/{id}/rotate",
                self._rotate,
                body=Grace | None,
                answer=Rotated,
            ),
        ]

    async def _show(self, asked: Asked) -> web.Response:
        project = await self._asked(asked)
        try:
            secret = await self._changes.secret(project.id)
        except SealError as error:
            log.error("secret does not open", project=project.id, check="CONTOX_MASTER_KEY")  # noqa: TRY400
            raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error
        if secret is None:  # it was deleted meanwhile
            raise Rejected(Reason.NOT_FOUND, "There is no such project")
        content: Shown = {"hmacSecret": secret}
        if previous := await self._changes.previous(project.id):
            content["previousExpiresAt"] = rfc_3339(previous.expires_ms)
            content["previousLastUsed"] = rfc_3339(previous.last_used_ms)
        return json_response(content)

    async def _rotate(self, asked: Asked) -> web.Response:
        given = await asked.json(Grace) if asked.request.can_read_body else Grace()
        project = await self._asked(asked)
        if project.status == DELETING:
            raise Rejected(Reason.CONFLICT, "The project is being deleted")
        grace_s = self._grace_s
        if given.grace_seconds is not None:  # 60.0 is a whole number in JSON, too
            grace_s = int(given.grace_seconds)
        rotation = await self._changes.rotate(project.id, grace_s, self._events)
        await self._changes.announce(project.id)
        log.info("secret rotated", project=project.id, grace_s=grace_s)
        rotated: Rotated = {
            "hmacSecret": rotation.secret,
            "previousExpiresAt": rfc_3339(rotation.old_expires_ms),
            "previousLastUsed": rfc_3339(rotation.old_last_used_ms),
        }
        return json_response(rotated)

    async def _asked(self, asked: Asked) -> Project:
        return await owned(self._changes.projects, asked.caller, asked.request.match_info["id"])
