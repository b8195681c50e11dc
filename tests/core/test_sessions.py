"""When a session is over."""

import pytest

from core.sessions import ACTIVE, CLOSED, SESSION_MS, Session


@pytest.mark.parametrize(
    ("closed_ms", "now_ms", "status"),
    [
        (None, 100, ACTIVE),
        (None, 100 + SESSION_MS - 1, ACTIVE),
        (None, 100 + SESSION_MS, CLOSED),
        (150, 151, CLOSED),
    ],
)
def test_status(closed_ms: int | None, now_ms: int, status: str) -> None:
    """A session is active until it is closed, or four hours old."""
    assert Session("sess_1", "proj_1", 100, closed_ms=closed_ms).status(now_ms) == status
