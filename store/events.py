"""Stored events: one idempotent bulk write and one paged read.

SQLite      Statements of many rows each: what a statement costs besides is as much as three rows,
            and the driver lets other threads run within a statement, not between two. A column
            that has one value in all of them is bound once, which saves up to a fifth.
PostgreSQL  A binary COPY straight into the table. A key that is there already refuses it; then the
            batch goes through a temporary table, from which what is new is moved, which costs
            twice as much. So do the next few, since duplicates seldom come alone.

Either way what is new is counted per project in the same transaction, and ON CONFLICT names the
key: SQLite's INSERT OR IGNORE would also skip, in silence, rows that break any other rule.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
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
OWN = ("event_id", "payload")  # columns that differ from row to row
SQLITE_ROWS = (1_000, 100)  # in one statement; SQLite allows 32,766 parameters
SMALL_BYTES = 4 << 10  # on average: a statement keeps what was bound until it is used again
PAYLOAD = itemgetter(COLUMNS.index("payload"))
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
LAST_ROW = "SELECT coalesce(max(rowid), 0) FROM events"
COUNT_AFTER = """
    SELECT project_id, count(*) FROM events WHERE rowid > ? GROUP BY project_id"""
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
            driver = await _driver(connection)
            await driver.execute_fetchall("BEGIN IMMEDIATE")
            ((last,),) = await driver.execute_fetchall(LAST_ROW)
            await _insert(driver, rows)
            ((now_last,),) = await driver.execute_fetchall(LAST_ROW)
            if now_last - last == len(rows):  # they are numbered one after another
                return await _count(connection, _per_project(rows))
            found = await driver.execute_fetchall(COUNT_AFTER, (last,))
            return await _count(connection, dict(found))


async def _insert(driver: Any, rows: list[Row]) -> None:
    """Straight on the driver, one turn of its thread for each statement."""
    done = 0
    small = sum(map(len, map(PAYLOAD, rows))) <= SMALL_BYTES * len(rows)
    for size in SQLITE_ROWS if small else ():
        for first in range(done, len(rows) - size + 1, size):
            await driver.execute_fetchall(*_many(rows[first : first + size]))
            done = first + size
    if done < len(rows):
        await driver.executemany(INSERT_ONE, [tuple(row) for row in rows[done:]])


def _many(rows: list[Row]) -> tuple[str, tuple[Any, ...]]:
    """The statement that inserts these rows, and its parameters."""
    columns = list(zip(*rows, strict=True))
    shared = tuple(
        name not in OWN and column.count(column[0]) == len(rows)
        for name, column in zip(COLUMNS, columns, strict=True)
    )
    once = [column[0] for column, is_shared in zip(columns, shared, strict=True) if is_shared]
    each = [column for column, is_shared in zip(columns, shared, strict=True) if not is_shared]
    return _insert_many(len(rows), shared), (*once, *chain.from_iterable(zip(*each, strict=True)))


@lru_cache(64)
def _insert_many(rows: int, shared: tuple[bool, ...]) -> str:
    """INSERT of so many rows; the values of shared columns come first, each once."""
    once, each = iter(range(1, sum(shared) + 1)), iter(range(1, len(shared) - sum(shared) + 1))
    chosen = ", ".join(
        f"?{next(once)}" if is_shared else f"column{next(each)}" for is_shared in shared
    )
    one_row = f"({', '.join('?' * (len(shared) - sum(shared)))})"
    return f"""
        INSERT INTO events ({NAMES}) SELECT {chosen} FROM (VALUES {", ".join([one_row] * rows)})
        WHERE true ON CONFLICT (project_id, event_id) DO NOTHING"""  # noqa: S608 - names of our own columns


INSERT_ONE = f"""
    INSERT INTO events ({NAMES}) VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (project_id, event_id) DO NOTHING"""  # noqa: S608 - names of our own columns


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
    driver = await _driver(connection)
    await driver.copy_records_to_table(table, records=rows, columns=COLUMNS)


async def _driver(connection: AsyncConnection) -> Any:
    """The connection of aiosqlite or asyncpg; its errors are those of its own database."""
    return (await connection.get_raw_connection()).driver_connection


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
