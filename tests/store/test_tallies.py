"""Counts of projects and sessions are exact, whatever a batch holds."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.event import Row
from core.ids import session_id
from core.sessions import Session
from store.events import SqlEvents
from store.sessions import SqlSessions
from store.tallies import Tally, tallied, tally
from tests.contracts.event_store import row

SESSION = session_id(1_705_312_200_000, bytes(10))


def test_tally() -> None:
    """Rows are counted by project and session, with the first and the last time of each."""
    rows = [row(5), row(3), row(9, session_id="sess_2"), row(7), row(1, project_id="proj_2")]
    expected = {
        ("proj_1", "sess_1"): Tally(3, 3, 7),
        ("proj_1", "sess_2"): Tally(1, 9, 9),
        ("proj_2", "sess_1"): Tally(1, 1, 1),
    }
    assert tally(rows) == expected
    assert tallied([(*key, *value) for key, value in expected.items()]) == expected
    assert tally([]) == {}


async def counted(engine: AsyncEngine) -> None:
    """A session counts each event once, from the first write of it on, told of before or not."""
    events, sessions = SqlEvents(engine), SqlSessions(engine)
    rows: list[Row] = [row(n, session_id=SESSION) for n in range(10, 30)]
    await events.write(rows[5:10])
    expected = Session(SESSION, "proj_1", 1_705_312_200_000, None, None, 5, 15, 19, 19)
    assert await sessions.get(SESSION) == expected
    assert await events.write(rows) == 15
    assert await events.write(rows) == 0
    assert (
        await events.write([*rows, row(99, session_id=SESSION), row(50, session_id="sess_2")]) == 2
    )
    told = Session(SESSION, "proj_1", 1_705_312_200_000, "cli")
    await sessions.opened([told])
    await sessions.close(SESSION, now_ms=1_000)
    await events.write([row(500, session_id=SESSION)])
    assert await sessions.get(SESSION) == told._replace(
        message_count=22, first_ms=10, last_ms=500, updated_ms=1_000, closed_ms=1_000
    )
    other = await sessions.get("sess_2")
    assert other == Session("sess_2", "proj_1", 50, None, None, 1, 50, 50, 50)


async def test_counted_sqlite(sqlite: AsyncEngine) -> None:
    """SQLite counts each event of a session once."""
    await counted(sqlite)


@pytest.mark.xdist_group("postgres")
async def test_counted_postgres(postgres: AsyncEngine) -> None:
    """PostgreSQL counts each event of a session once."""
    await counted(postgres)
