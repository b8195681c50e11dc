"""A project that a command names."""

from cli.errors import CliError
from core.ports import Conflict, Project, ProjectStore


async def find_project(projects: ProjectStore, name_or_id: str) -> Project:
    """The project. Raises CliError if there is none, or several users have one of the name."""
    try:
        found = await projects.find(name_or_id)
    except Conflict:
        told = f"Several projects are called {name_or_id!r}; name one by its id."
        raise CliError(told) from None
    if found is None:
        raise CliError(
            f"There is no project {name_or_id!r}; list them with: contox-ingest project list"
        )
    return found
