"""Projects: GET and POST /api/projects; GET, PATCH and DELETE /api/projects/{id}.

A project belongs to the user who made it; admins see all. What is another's is not there: 404. A
status other than active stops ingest in every process before it is answered.
"""

from typing import Annotated, Literal, TypedDict

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from core.errors import Reason, Rejected
from core.event import rfc_3339
from core.ports import Conflict, Project
from gateway.api.bodies import Name
from gateway.api.deletions import Deletions
from gateway.api.guard import Asked, Guard, json_response
from gateway.api.owned import owned
from gateway.api.project_changes import DELETING, NAME_MAX, ProjectChanges, is_name
from runtime.log import get_log

log = get_log()
PATH = "/api/projects"
PROJECTS_MAX = 1_000  # per user
DESCRIPTION_MAX = 2_000  # characters
Description = Annotated[
    str, Meta(max_length=DESCRIPTION_MAX, extra_json_schema={"pattern": r"^[^\u0000]*$"})
]
Visibility = Literal["private", "public"]


class NewProject(msgspec.Struct):
    """What a project is made from."""

    name: Name
    description: Description | None = None
    visibility: Visibility = "private"


class Changes(msgspec.Struct):
    """What is to be different; what is not named stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    visibility: Visibility | UnsetType = UNSET
    status: Literal["active", "disabled"] | UnsetType = UNSET


class Deletion(msgspec.Struct, rename="camel"):
    """The name, so that nothing is deleted by a slip, and whether the events go, too."""

    name: str
    delete_events: bool = False


class Wanted(msgspec.Struct):
    """The query parameters of the list."""

    name: Name | UnsetType = UNSET


class Shown(TypedDict):
    """A project as its owner sees it."""

    id: str
    name: str
    description: str
    visibility: str
    status: str
    createdAt: str | None
    updatedAt: str | None


class Deleting(TypedDict):
    """A project that is being deleted with its events."""

    id: str
    status: str


class Projects:
    """The handlers."""

    def __init__(self, changes: ProjectChanges, deletions: Deletions) -> None:
        self._changes = changes
        self._projects = changes.projects
        self._deletions = deletions

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The routes."""
        return [
            guard.route("GET", PATH, self._list, query=Wanted, answer=list[Shown]),
            guard.route("POST", PATH, self._create, body=NewProject, answer=Shown, status=201),
            guard.route("GET", PATH + "/{id}", self._show, answer=Shown),
            guard.route("PATCH", PATH + "/{id}", self._change, body=Changes, answer=Shown),
            guard.route(
                "DELETE",
                PATH + "/{id}",
                self._delete,
                body=Deletion,
                answer=Deleting,
                status=(202, 204),
            ),
        ]

    async def _list(self, asked: Asked) -> web.Response:
        caller, text = asked.caller, asked.request.query.get("name")
        name = _name(text) if text else None
        found = await self._projects.list(None if caller.is_admin else asked.user_id, name=name)
        if name is not None:  # clients take the first: an admin's own before another's
            found.sort(key=lambda project: project.owner_id != caller.user_id)
        return json_response([_public(project) for project in found])

    async def _create(self, asked: Asked) -> web.Response:
        given = await asked.json(NewProject)
        owner_id = asked.caller.user_id
        if owner_id and len(await self._projects.list(owner_id)) >= PROJECTS_MAX:
            sentence = f"A user has at most {PROJECTS_MAX:,} projects; delete one first"
            raise Rejected(Reason.CONFLICT, sentence)
        try:
            project, _ = await self._changes.create(
                _name(given.name),
                owner_id=owner_id,
                description=_text(given.description),
                visibility=given.visibility,
            )
        except Conflict:
            raise _taken() from None
        log.info("project made", project=project.id, user=owner_id)
        return json_response(_public(project), status=201)

    async def _show(self, asked: Asked) -> web.Response:
        return json_response(_public(await self._asked(asked)))

    async def _change(self, asked: Asked) -> web.Response:
        given = await asked.json(Changes)
        project = await self._asked(asked)
        members = msgspec.structs.asdict(given)
        changes = {name: value for name, value in members.items() if value is not UNSET}
        if "name" in changes:
            changes["name"] = _name(changes["name"])
        if "description" in changes:
            changes["description"] = _text(changes["description"])
        if project.status == DELETING:
            raise Rejected(Reason.CONFLICT, "The project is being deleted")
        if changes:
            try:
                await self._changes.set(project.id, **changes)
            except Conflict:
                raise _taken() from None
            log.info("project changed", project=project.id, changed=sorted(changes))
        return json_response(_public(await self._asked(asked)))

    async def _delete(self, asked: Asked) -> web.Response:
        given = await asked.json(Deletion)
        project = await self._asked(asked)
        if given.name != project.name:
            raise Rejected(Reason.CONFLICT, "`name` must be the project's name")
        log.warning("project deleted", project=project.id, events=given.delete_events)
        if given.delete_events or project.status == DELETING:
            await self._changes.set(project.id, status=DELETING)
            self._deletions.start(project.id)
            return json_response({"id": project.id, "status": DELETING}, status=202)
        await self._changes.delete(project.id)
        return web.Response(status=204)

    async def _asked(self, asked: Asked) -> Project:
        return await owned(self._projects, asked.caller, asked.request.match_info["id"])


def _name(text: str) -> str:
    name = text.strip()
    if not is_name(name):
        sentence = f"`name` must be 1 to {NAME_MAX} printable characters"
        raise Rejected(Reason.BAD_REQUEST, sentence)
    return name


def _text(description: str | None) -> str:
    text = description or ""
    if "\0" in text:  # PostgreSQL keeps none
        raise Rejected(Reason.BAD_REQUEST, "`description` must not hold the character NUL")
    return text


def _taken() -> Rejected:
    return Rejected(Reason.CONFLICT, "You have a project of this name already")


def _public(project: Project) -> Shown:
    return {
        "id": project.id,
        "name": project.name,
        "description": project.description,
        "visibility": project.visibility,
        "status": project.status,
        "createdAt": rfc_3339(project.created_ms),
        "updatedAt": rfc_3339(project.updated_ms),
    }
