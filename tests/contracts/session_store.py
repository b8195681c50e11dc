"""What every SessionStore keeps to; see core.sessions."""

import pytest

from core.sessions import ACTIVE, CLOSED, SESSION_MS, Session, SessionStore

NOW = SESSION_MS * 10
OLD = Session("sess_1", "proj_1", NOW - SESSION_MS, updated_ms=NOW - SESSION_MS)
FIRST = Session("sess_2", "proj_1", NOW - 20, "vscode", updated_ms=NOW - 20)
SECOND = Session("sess_3", "proj_1", NOW - 10, updated_ms=NOW - 10)
ELSEWHERE = Session("sess_4", "proj_2", NOW - 5, updated_ms=NOW - 5)


class SessionStoreContract:
    """Subclasses give a fixture `sessions`: an empty SessionStore."""

    async def test_kept(self, sessions: SessionStore) -> None:
        """What was opened is found by its id; an unknown id is None."""
        await sessions.opened([])
        await sessions.opened([SECOND, FIRST])
        assert await sessions.get("sess_2") == FIRST
        assert await sessions.get("sess_9") is None

    async def test_opened_again(self, sessions: SessionStore) -> None:
        """A session that is told of again keeps what it has, and gets the source that it lacked."""
        await sessions.opened([FIRST, SECOND])
        await sessions.close("sess_2", now_ms=NOW)
        await sessions.opened([FIRST._replace(source="cli"), SECOND._replace(source="cli")])
        assert await sessions.get("sess_2") == FIRST._replace(closed_ms=NOW, updated_ms=NOW)
        assert await sessions.get("sess_3") == SECOND._replace(source="cli")

    @pytest.mark.parametrize(
        ("status", "found"),
        [
            (None, ["sess_3", "sess_2", "sess_1"]),
            (ACTIVE, ["sess_2"]),
            (CLOSED, ["sess_3", "sess_1"]),
        ],
    )
    async def test_page(self, sessions: SessionStore, status: str, found: list[str]) -> None:
        """A page is newest first, of one status or both; four hours close a session, too."""
        await sessions.opened([OLD, FIRST, SECOND, ELSEWHERE])
        await sessions.close("sess_3", now_ms=NOW)
        page = await sessions.page("proj_1", status=status, now_ms=NOW, limit=9)
        assert ([one.id for one in page.sessions], page.total) == (found, len(found))
        assert [one.status(NOW) for one in page.sessions if status] == [status] * bool(
            status
        ) * len(found)
        short = await sessions.page("proj_1", status=status, now_ms=NOW, limit=1)
        assert (short.sessions, short.total) == (page.sessions[:1], page.total)

    async def test_closed_once(self, sessions: SessionStore) -> None:
        """Closing keeps the first time; an unknown session is no error."""
        await sessions.opened([FIRST])
        for now_ms in (NOW, NOW + 5):
            await sessions.close("sess_2", now_ms=now_ms)
            await sessions.close("sess_9", now_ms=now_ms)
        assert await sessions.get("sess_2") == FIRST._replace(closed_ms=NOW, updated_ms=NOW)

    async def test_close_others(self, sessions: SessionStore) -> None:
        """All active ones of the project are closed but one; what has ended stays as it is."""
        await sessions.opened([OLD, FIRST, SECOND, ELSEWHERE])
        await sessions.close_others("proj_1", "sess_3", now_ms=NOW)
        closed = [
            one.id for one in (OLD, FIRST, SECOND, ELSEWHERE) if await _is_closed(sessions, one)
        ]
        assert closed == ["sess_2"]

    async def test_delete(self, sessions: SessionStore) -> None:
        """A project's sessions are forgotten, and nobody else's."""
        await sessions.opened([FIRST, ELSEWHERE])
        await sessions.delete("proj_1")
        assert [await sessions.get(one.id) for one in (FIRST, ELSEWHERE)] == [None, ELSEWHERE]


async def _is_closed(sessions: SessionStore, session: Session) -> bool:
    found = await sessions.get(session.id)
    assert found is not None
    return found.closed_ms is not None
