"""How a command finds the project that it names."""

import pytest

from cli.errors import CliError
from cli.find_project import find_project
from core.ports import Project, SealedSecret
from core.testing import MemoryProjects


async def test_find() -> None:
    """By id, by name; a name that several have, or none, is a sentence that says what to do."""
    projects = MemoryProjects()
    one = Project("proj_1", "one", "active", 1, 1)
    two = Project("proj_2", "two", "active", 1, 1)
    same = Project("proj_3", "two", "active", 1, 1, "user_1")
    for project in (one, two, same):
        await projects.create(project, SealedSecret(b"", None))
    assert await find_project(projects, "one") == await find_project(projects, "proj_1") == one
    assert await find_project(projects, "proj_3") == same
    with pytest.raises(CliError, match="Several projects are called 'two'; name one by its id"):
        await find_project(projects, "two")
    with pytest.raises(CliError, match="There is no project 'nine'; list them with"):
        await find_project(projects, "nine")
