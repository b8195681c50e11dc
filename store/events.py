"""Stored events: one idempotent bulk write and one paged read.

The write is one statement, for the whole batch on PostgreSQL (a binary COPY into a temporary table,
from which what is new is moved) and for each project's part of it on SQLite (row by row inside the
driver's C code); what is new is counted per project in the same transaction. Either way
ON CONFLICT names the key: SQLite's INSERT OR IGNORE would also skip, in silence, rows that break
any other rule.
"""

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.event import Row
from core.ports import EventFilter, Page, cursor_after, parse_cursor
from store.engine import transaction
from store.schema import events

COLUMNS = list(Row._fields)
NAMES = ", ".join(COLUMNS)
INSERT_SQLITE = f"""
    INSERT INTO events ({NAMES}) VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (project_id, event_id) DO NOTHING"""  # noqa: S608 - names of our own columns
CREATE_STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_events (
        project_id text, event_id text, session_id text, event text, payload json,
        occurred_ms bigint, received_ms bigint
    ) ON COMMIT DELETE ROWS"""
INSERT_STAGED = f"""
    WITH new AS (
        INSERT INTO events ({NAMES}) SELECT {NAMES} FROM staged_events
        ON CONFLICT (project_id, event_id) DO NOTHING RETURNING project_id)
    SELECT project_id, count(*) FROM new GROUP BY project_id"""  # noqa: S608 - our own columns
ADD_COUNT = sa.text("""
    INSERT INTO stored_counts (project_id, stored) VALUES (:project, :new)
    ON CONFLICT (project_id) DO UPDATE SET stored = stored_counts.stored + excluded.stored""")


class SqlEvents:
    """The EventStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._insert = {"sqlite": _insert_sqlite, "postgresql": _insert_postgresql}[
            engine.dialect.name
        ]

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        if not rows:
            return 0
        async with transaction(self._engine) as connection:
            return await self._insert(connection, rows)

    async def page(self, wanted: EventFilter, *, limit: int, cursor: str | None = None) -> Page:
        """See core.ports.EventStore."""
        payload = sa.cast(events.c.payload, sa.Text).label("payload")
        columns = [payload if name == "payload" else events.c[name] for name in COLUMNS]
        position = sa.tuple_(events.c.received_ms, events.c.event_id)
        query = (
            sa.select(*columns)
            .where(*_conditions(wanted))
            .order_by(events.c.received_ms.desc(), events.c.event_id.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            query = query.where(position < sa.tuple_(*parse_cursor(cursor)))
        async with transaction(self._engine) as connection:
            rows = [Row(*row) for row in await connection.execute(query)]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(rows[:limit], cursor_after(last) if last else None)


def _conditions(wanted: EventFilter) -> list[sa.ColumnElement[bool]]:
    conditions = [events.c.project_id == wanted.project_id]
    if wanted.session_id is not None:
        conditions.append(events.c.session_id == wanted.session_id)
    if wanted.event is not None:
        conditions.append(events.c.event == wanted.event)
    if wanted.after_ms is not None:
        conditions.append(events.c.received_ms > wanted.after_ms)
    if wanted.before_ms is not None:
        conditions.append(events.c.received_ms < wanted.before_ms)
    return conditions


async def _insert_sqlite(connection: AsyncConnection, rows: list[Row]) -> int:
    by_project: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for row in rows:
        by_project[row.project_id].append(tuple(row))
    new = {
        project: (await connection.exec_driver_sql(INSERT_SQLITE, values)).rowcount
        for project, values in by_project.items()
    }
    return await _count(connection, new)


async def _insert_postgresql(connection: AsyncConnection, rows: list[Row]) -> int:
    await connection.exec_driver_sql(CREATE_STAGING)  # also begins the transaction for COPY
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    await driver.copy_records_to_table("staged_events", records=rows, columns=COLUMNS)
    found = await connection.exec_driver_sql(INSERT_STAGED)
    return await _count(connection, {row["project_id"]: row["count"] for row in found.mappings()})


async def _count(connection: AsyncConnection, new: dict[str, int]) -> int:
    """Add to the counts of stored events; in the order of ids, so that workers cannot deadlock."""
    values = [{"project": project, "new": count} for project, count in sorted(new.items()) if count]
    if values:
        await connection.execute(ADD_COUNT, values)
    return sum(new.values())
