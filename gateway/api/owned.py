"""A project that is asked about, if the caller may see it; and what is in a query."""

from collections.abc import Callable, Mapping
from typing import Any

from core.errors import Reason, Rejected
from core.ports import Project, ProjectStore
from core.words import IDENTIFIER
from gateway.api.caller import Caller


async def owned(projects: ProjectStore, caller: Caller, project_id: str) -> Project:
    """The project. Raises Rejected (not_found), whether it is another's or there is none."""
    project = await projects.get(project_id) if IDENTIFIER(project_id) else None
    if project is None or not caller.may(project.owner_id):
        raise Rejected(Reason.NOT_FOUND, "There is no such project")
    return project


def wanted(query: Mapping[str, str], name: str, is_right: Callable[[str], Any], what: str) -> str:
    """A value of the query that must be there. Raises Rejected (bad_request)."""
    found = optional(query, name, is_right, what)
    if found is None:
        raise Rejected(Reason.BAD_REQUEST, f"`{name}` must be {what}")
    return found


def optional(
    query: Mapping[str, str], name: str, is_right: Callable[[str], Any], what: str
) -> str | None:
    """A value of the query; None if it is not there, or empty. Raises Rejected (bad_request)."""
    text = query.get(name) or None
    if text is not None and not is_right(text):
        raise Rejected(Reason.BAD_REQUEST, f"`{name}` must be {what}")
    return text
