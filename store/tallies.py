"""What a write of events adds to the counts: of its projects, and of its sessions.

Both change in the transaction that stores the rows, so that they are exact after any crash. Beside
its count a session keeps when its first and its last event were received: by that a session's
events are found (store/events.py). A session that nobody has told of is added.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from core.event import Row
from core.ids import time_ms_of

WHICH = itemgetter(*map(Row._fields.index, ("project_id", "session_id", "received_ms")))
ADD_COUNT = sa.text("""
    INSERT INTO stored_counts (project_id, stored) VALUES (:project, :new)
    ON CONFLICT (project_id) DO UPDATE SET stored = stored_counts.stored + excluded.stored""")
ADD_TO_SESSION = sa.text("""
    INSERT INTO ingest_sessions
        (id, project_id, started_ms, message_count, first_ms, last_ms, updated_ms)
    VALUES (:session, :project, :started_ms, :new, :first_ms, :last_ms, :last_ms)
    ON CONFLICT (id, project_id) DO UPDATE SET
        message_count = ingest_sessions.message_count + excluded.message_count,
        first_ms = CASE WHEN ingest_sessions.first_ms < excluded.first_ms
            THEN ingest_sessions.first_ms ELSE excluded.first_ms END,
        last_ms = CASE WHEN ingest_sessions.last_ms > excluded.last_ms
            THEN ingest_sessions.last_ms ELSE excluded.last_ms END,
        updated_ms = CASE WHEN ingest_sessions.updated_ms > excluded.updated_ms
            THEN ingest_sessions.updated_ms ELSE excluded.updated_ms END""")


class Tally(NamedTuple):
    """New events of one session: how many, and when they were received, from first to last."""

    new: int
    first_ms: int
    last_ms: int


Tallies = Mapping[tuple[str, str], Tally]  # by project and session


def tally(rows: list[Row]) -> Tallies:
    """The tallies of rows that are all new."""
    found: dict[tuple[str, str], Tally] = {}
    for (project, session, ms), new in Counter(map(WHICH, rows)).items():
        before = found.get((project, session))
        if before is None:
            found[project, session] = Tally(new, ms, ms)
        else:
            first_ms, last_ms = min(before.first_ms, ms), max(before.last_ms, ms)
            found[project, session] = Tally(before.new + new, first_ms, last_ms)
    return found


def tallied(rows: Iterable[Any]) -> Tallies:
    """The tallies that a database has made: project, session, count, first and last time."""
    return {(project, session): Tally(*counts) for project, session, *counts in rows}


async def add(connection: AsyncConnection, tallies: Tallies) -> int:
    """Add to the counts; returns how many events are new.

    In the order of ids, so that workers cannot deadlock.
    """
    projects: Counter[str] = Counter()
    for (project, _), counts in tallies.items():
        projects[project] += counts.new
    if projects:
        values = [{"project": project, "new": new} for project, new in sorted(projects.items())]
        await connection.execute(ADD_COUNT, values)
        await connection.execute(
            ADD_TO_SESSION, [_session(*one) for one in sorted(tallies.items())]
        )
    return projects.total()


def _session(which: tuple[str, str], counts: Tally) -> dict[str, Any]:
    project, session = which
    try:
        started_ms = time_ms_of(session)
    except ValueError:  # an id that is not ours
        started_ms = counts.first_ms
    return {"project": project, "session": session, "started_ms": started_ms, **counts._asdict()}
