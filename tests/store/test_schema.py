"""What the rest of the code relies on in the declared tables."""

from core.event import Row
from core.ports import Project
from core.sessions import Session
from core.users import ApiKey, User
from store.schema import api_keys, events, ingest_sessions, projects, users


def test_columns_in_the_order_of_rows() -> None:
    """A Row can be written as it is: its fields are the table's columns, in order."""
    assert tuple(events.c.keys()) == Row._fields
    assert tuple(projects.c.keys()) == Project._fields
    assert tuple(ingest_sessions.c.keys()) == Session._fields
    assert tuple(users.c.keys()) == User._fields
    assert tuple(api_keys.c.keys()) == ApiKey._fields


def test_identity_is_the_key() -> None:
    """The database itself keeps one row per project and event id."""
    assert [column.name for column in events.primary_key] == ["project_id", "event_id"]
