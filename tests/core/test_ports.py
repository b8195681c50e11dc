"""The fakes have every port's methods with the same signatures; facts of cursors and defaults."""

import inspect

import pytest

from core.event import Row
from core.ports import (
    EventFilter,
    EventQueue,
    EventStore,
    ProjectStore,
    cursor_after,
    parse_cursor,
)
from core.testing import (
    MemoryApiKeys,
    MemoryEvents,
    MemoryProjects,
    MemoryQueue,
    MemoryUsers,
)
from core.users import ApiKeyStore, UserStore

METHODS = [
    pytest.param(method, getattr(fake, name, None), id=f"{port.__name__}.{name}")
    for port, fake in (
        (EventStore, MemoryEvents),
        (ProjectStore, MemoryProjects),
        (EventQueue, MemoryQueue),
        (UserStore, MemoryUsers),
        (ApiKeyStore, MemoryApiKeys),
    )
    for name, method in inspect.getmembers(port, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.parametrize(("method", "of_fake"), METHODS)
def test_fake_has_the_ports_methods(method: object, of_fake: object) -> None:
    """Each method of a port has a contract; its fake takes the same, waiting where that waits."""
    assert callable(of_fake)
    assert callable(method)
    assert inspect.iscoroutinefunction(of_fake) == inspect.iscoroutinefunction(method)
    assert inspect.signature(of_fake) == inspect.signature(method)
    assert method.__doc__


def test_filter_shows_all_of_a_project() -> None:
    """A filter that names only a project restricts nothing else."""
    assert EventFilter("proj_1") == ("proj_1", None, None, None, None)


def test_cursor_is_where_a_row_is() -> None:
    """A cursor holds a row's time and id, dashes in the id included."""
    row = Row("proj_1", "a-b-c", "sess_1", "saved", "{}", None, 1705312200000)
    assert cursor_after(row) == "1705312200000-a-b-c"
    assert parse_cursor(cursor_after(row)) == (1705312200000, "a-b-c")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "-",
        "12",
        "-5-a",
        "1.5-a",
        " 1-a",
        "1_0-a",
        "\uff11-a",
        "\u00b2-a",
        "9" * 16 + "-a",
        "x-1",
    ],
)
def test_bad_cursor_is_a_value_error(cursor: str) -> None:
    """A cursor that no page can have given is a ValueError."""
    with pytest.raises(ValueError, match="the cursor is not one"):
        parse_cursor(cursor)
