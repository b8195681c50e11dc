"""Stored events: one idempotent bulk write and one paged read.

SQLite      Statements of many rows each: what a statement costs besides is as much as three rows,
            and the driver lets other threads run within a statement, not between two. A column
            that has one value in all of them is bound once, which saves up to a fifth.
PostgreSQL  A binary COPY straight into the table. A key that is there already refuses it; then the
            batch goes through a temporary table, from which what is new is moved, which costs
            twice as much. So do the next few, since duplicates seldom come alone.

Either way what is new is counted in the same transaction (store/tallies.py), and ON CONFLICT names
the key: SQLite's INSERT OR IGNORE would also skip, in silence, rows that break any other rule.
"""

import asyncio
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
from store.schema import events, ingest_sessions
from store.tallies import add, tallied, tally

COLUMNS = list(Row._fields)
NAMES = ", ".join(COLUMNS)
OWN = ("event_id", "payload")  # columns that differ from row to row
SQLITE_ROWS = (1_000, 100)  # in one statement; SQLite allows 32,766 parameters
SMALL_BYTES = 4 << 10  # on average: a statement keeps what was bound until it is used again
NEVER = (1, 0)  # the span of a session without events
PAYLOAD = itemgetter(COLUMNS.index("payload"))
UNIQUE_VIOLATION = "23505"  # PostgreSQL's code, see its manual, appendix A
STAGED_WRITES = 16  # through the temporary table after a duplicate
TALLIED = "project_id, session_id, received_ms"
TALLY = "project_id, session_id, count(*), min(received_ms), max(received_ms)"
PER_SESSION = "GROUP BY project_id, session_id"
CREATE_STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_events (
        project_id text, event_id text, session_id text, event text, payload json,
        occurred_ms bigint, received_ms bigint, source text
    ) ON COMMIT DELETE ROWS"""
INSERT_STAGED = f"""
    WITH new AS (
        INSERT INTO events ({NAMES}) SELECT {NAMES} FROM staged_events
        ON CONFLICT (project_id, event_id) DO NOTHING RETURNING {TALLIED})
    SELECT {TALLY} FROM new {PER_SESSION}"""  # noqa: S608 - our own columns
LAST_ROW = "SELECT coalesce(max(rowid), 0) FROM events"
TALLY_AFTER = f"SELECT {TALLY} FROM events WHERE rowid > ? {PER_SESSION}"  # noqa: S608


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
        before = None if cursor is None else parse_cursor(cursor)
        async with transaction(self._engine) as connection:
            span = await _span(connection, wanted)
            query = page_query(wanted, span, before).limit(limit + 1)
            rows = [Row(*row) for row in await connection.execute(query)]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(rows[:limit], cursor_after(last) if last else None)

    async def get(self, project_id: str, event_id: str) -> Row | None:
        """See core.ports.EventStore."""
        query = sa.select(*_columns()).where(
            events.c.project_id == project_id, events.c.event_id == event_id
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).first()
        return Row(*row) if row else None

    async def delete(self, project_id: str, *, limit: int) -> int:
        """See core.ports.EventStore."""
        of_project = events.c.project_id == project_id
        ids = sa.select(events.c.event_id).where(of_project).order_by(events.c.event_id)
        async with transaction(self._engine) as connection:
            last = (await connection.execute(ids.limit(1).offset(limit - 1))).scalar()
            up_to = sa.true() if last is None else events.c.event_id <= last
            done = await connection.execute(sa.delete(events).where(of_project, up_to))
            return done.rowcount


def page_query(
    wanted: EventFilter, span: tuple[int, int] | None, before: tuple[int, str] | None
) -> sa.Select[Any]:
    """The page's rows, newest first.

    span: when the first and the last event of the session that is wanted were received; before: the
    position that the page continues after. Of several bounds on one side the narrowest is found
    here: SQLite would walk the index from the first one that it meets.
    """
    position = sa.tuple_(events.c.received_ms, events.c.event_id)
    lower = [wanted.after_ms + 1] if wanted.after_ms is not None else []
    upper = [before] if before is not None else []
    upper += [(wanted.before_ms, "")] if wanted.before_ms is not None else []
    if span is not None:
        lower, upper = [*lower, span[0]], [*upper, (span[1] + 1, "")]
    query = sa.select(*_columns()).where(events.c.project_id == wanted.project_id)
    if wanted.session_id is not None:
        query = query.where(events.c.session_id == wanted.session_id)
    if wanted.event is not None:
        query = query.where(events.c.event == wanted.event)
    if lower:
        query = query.where(events.c.received_ms >= max(lower))
    if upper:
        query = query.where(position < sa.tuple_(*min(upper)))
    return query.order_by(events.c.received_ms.desc(), events.c.event_id.desc())


async def _span(connection: AsyncConnection, wanted: EventFilter) -> tuple[int, int] | None:
    """When the events of the session that is wanted were received; None if none is wanted."""
    if wanted.session_id is None:
        return None
    query = sa.select(ingest_sessions.c.first_ms, ingest_sessions.c.last_ms).where(
        ingest_sessions.c.id == wanted.session_id,
        ingest_sessions.c.project_id == wanted.project_id,
        ingest_sessions.c.first_ms.is_not(None),
    )
    row = (await connection.execute(query)).first()
    return (row[0], row[1]) if row else NEVER


def _columns() -> list[sa.ColumnElement[Any]]:
    """Row's; the payload as text."""
    payload = sa.cast(events.c.payload, sa.Text).label("payload")
    return [payload if name == "payload" else events.c[name] for name in COLUMNS]


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
                return await add(connection, tally(rows))
            found = await driver.execute_fetchall(TALLY_AFTER, (last,))
            return await add(connection, tallied(found))


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
            return await add(connection, tally(rows))

    async def _write_staged(self, rows: list[Row]) -> int:
        async with transaction(self._engine) as connection:
            await connection.exec_driver_sql(CREATE_STAGING)
            await _copy(connection, "staged_events", rows)
            found = await connection.exec_driver_sql(INSERT_STAGED)
            return await add(connection, tallied(found.all()))


async def _copy(connection: AsyncConnection, table: str, rows: list[Row]) -> None:
    await connection.exec_driver_sql("SELECT 1")  # begins the transaction, of which COPY is a part
    driver = await _driver(connection)
    await driver.copy_records_to_table(table, records=rows, columns=COLUMNS)


async def _driver(connection: AsyncConnection) -> Any:
    """The connection of aiosqlite or asyncpg; its errors are those of its own database."""
    return (await connection.get_raw_connection()).driver_connection
