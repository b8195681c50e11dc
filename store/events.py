"""Stored events: one idempotent bulk write and one paged read.

SQLite      Statements of many rows each: what a statement costs besides is as much as three rows,
            and the driver lets other threads run within a statement, not between two.
PostgreSQL  A binary COPY straight into the table. A key that is there already refuses it; then the
            batch goes through a temporary table, from which what is new is moved, which costs
            twice as much. So do the next few, since duplicates seldom come alone.

Either way what is new is counted per project in the same transaction, and ON CONFLICT names the
key: SQLite's INSERT OR IGNORE would also skip, in silence, rows that break any other rule.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.errors import Refused
from core.event import Row
from core.ports import EventFilter, Page, cursor_after, parse_cursor
from store.engine import transaction
from store.schema import events

COLUMNS = list(Row._fields)
NAMES = ", ".join(COLUMNS)
ONE_ROW = f"({', '.join('?' * len(COLUMNS))})"
SQLITE_ROWS = 1_000  # in one statement; SQLite allows 32,766 parameters
UNIQUE_VIOLATION = "23505"  # PostgreSQL's code, see its manual, appendix A
STAGED_WRITES = 16  # through the temporary table after a duplicate
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
COUNT_AFTER = """
    SELECT project_id, count(*) AS count FROM events WHERE rowid > ? GROUP BY project_id"""
ADD_COUNT = sa.text("""
    INSERT INTO stored_counts (project_id, stored) VALUES (:project, :new)
    ON CONFLICT (project_id) DO UPDATE SET stored = stored_counts.stored + excluded.stored""")


class SqlEvents:
    """The EventStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._writer = _SqliteWriter(engine) if sqlite else _PostgresWriter(engine)

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        return await self._writer.write(rows) if rows else 0

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


class _SqliteWriter:
    """One write at a time: the file takes only one, and waiting here costs no polling."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._turn = asyncio.Lock()

    async def write(self, rows: list[Row]) -> int:
        """Store rows, at least one; returns how many are new."""
        async with self._turn, transaction(self._engine) as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            last = (await connection.exec_driver_sql("SELECT max(rowid) FROM events")).scalar()
            new = 0
            full = len(rows) - len(rows) % SQLITE_ROWS
            for first in range(0, full, SQLITE_ROWS):
                values = tuple(chain.from_iterable(rows[first : first + SQLITE_ROWS]))
                new += (await connection.exec_driver_sql(INSERT_MANY, values)).rowcount
            if rest := [tuple(row) for row in rows[full:]]:
                new += (await connection.exec_driver_sql(INSERT_ONE, rest)).rowcount
            if new == len(rows):
                return await _count(connection, _per_project(rows))
            found = await connection.exec_driver_sql(COUNT_AFTER, (last or 0,))
            return await _count(connection, _counts(found))


def _insert_sqlite(rows: int) -> str:
    return f"""
        INSERT INTO events ({NAMES}) VALUES {", ".join([ONE_ROW] * rows)}
        ON CONFLICT (project_id, event_id) DO NOTHING"""  # noqa: S608 - names of our own columns


INSERT_ONE, INSERT_MANY = _insert_sqlite(1), _insert_sqlite(SQLITE_ROWS)


class _PostgresWriter:
    """Straight into the table, or for a while after a duplicate through the temporary one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._staged = 0  # writes that still go through the temporary table

    async def write(self, rows: list[Row]) -> int:
        """Store rows, at least one; returns how many are new."""
        if not self._staged:
            try:
                return await self._write_new(rows)
            except Refused as error:
                if getattr(error.__cause__, "sqlstate", None) != UNIQUE_VIOLATION:
                    raise
                self._staged = STAGED_WRITES
        self._staged -= 1
        return await self._write_staged(rows)

    async def _write_new(self, rows: list[Row]) -> int:
        async with transaction(self._engine) as connection:
            await _copy(connection, "events", rows)
            return await _count(connection, _per_project(rows))

    async def _write_staged(self, rows: list[Row]) -> int:
        async with transaction(self._engine) as connection:
            await connection.exec_driver_sql(CREATE_STAGING)
            await _copy(connection, "staged_events", rows)
            found = await connection.exec_driver_sql(INSERT_STAGED)
            return await _count(connection, _counts(found))


async def _copy(connection: AsyncConnection, table: str, rows: list[Row]) -> None:
    await connection.exec_driver_sql("SELECT 1")  # begins the transaction, of which COPY is a part
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(table, records=rows, columns=COLUMNS)


def _counts(found: sa.CursorResult[Any]) -> dict[str, int]:
    return {row["project_id"]: row["count"] for row in found.mappings()}


def _per_project(rows: list[Row]) -> Counter[str]:
    return Counter(map(itemgetter(0), rows))


async def _count(connection: AsyncConnection, new: Mapping[str, int]) -> int:
    """Add to the counts of stored events; in the order of ids, so that workers cannot deadlock."""
    values = [{"project": project, "new": count} for project, count in sorted(new.items()) if count]
    if values:
        await connection.execute(ADD_COUNT, values)
    return sum(new.values())
