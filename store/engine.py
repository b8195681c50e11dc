"""Opening a database, and telling the errors that time cures from those it does not.

SQLite: WAL, so that readers and the writer do not wait for each other, and synchronous=FULL, so
that a commit is on disk when the worker deletes the entry from the stream.
"""

import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import Reason, Refused, Unavailable

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 60
CONNECTIONS_MAX = 5
SQLITE_BUSY_MS = 10_000
SQLITE_CACHE_KIB = 32 << 10  # per connection, at most: the indexes' pages that writes go to
SQLITE_CHECKPOINT_BYTES = 32 << 20  # a page written many times is moved to the file once
SQLITE_PAGE_BYTES = 8 << 10  # of a new file; with 4 KiB, SQLite's own, a row costs a fifth more
SQLITE_PRAGMAS = (
    f"PRAGMA page_size={SQLITE_PAGE_BYTES}",  # first: no effect on a file that there is
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA cache_size=-{SQLITE_CACHE_KIB}",
    f"PRAGMA busy_timeout={SQLITE_BUSY_MS}",
)
REFUSED_DRIVER_ERRORS = (
    "DataError",
    "IntegrityConstraintViolationError",
    "RaiseError",  # what a trigger of the operator's raises
)
AWAY_DRIVER_ERRORS = ("PostgresError", "InterfaceError")
Errors = tuple[type[BaseException], ...]


def open_engine(database_url: str) -> AsyncEngine:
    """An engine for sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE. Connects lazily."""
    url = _with_driver(make_url(database_url))
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(
            url, pool_size=CONNECTIONS_MAX, max_overflow=0, pool_use_lifo=True
        )  # the last one used has the pages in its cache
        event.listen(engine.sync_engine, "connect", _set_pragmas)
        return engine
    return create_async_engine(
        url,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "command_timeout": STATEMENT_TIMEOUT_S},
    )


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction whose failures are ours: Refused for bad data, Unavailable for the rest.

    An error that is neither's fault, such as a missing table, is Unavailable too: the batch stays
    in the stream until an operator has put it right, rather than going to the dead letters.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except refused_by_store() as error:
        raise Refused(first_line(error)) from error
    except store_away() as error:
        sentence = f"The store failed: {first_line(error)}"
        raise Unavailable(Reason.QUEUE_UNAVAILABLE, sentence) from error


def refused_by_store() -> Errors:
    """What is raised for data that the store will not take."""
    ours = (IntegrityError, DataError, sqlite3.IntegrityError, sqlite3.DataError)
    return (*ours, *_of_asyncpg(REFUSED_DRIVER_ERRORS))


def store_away() -> Errors:
    """What is raised where time or an operator must help."""
    ours = (DBAPIError, SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
    return (*ours, *_of_asyncpg(AWAY_DRIVER_ERRORS))


def _of_asyncpg(names: tuple[str, ...]) -> Errors:
    """Errors of a driver that is imported with the first engine for PostgreSQL: a start on SQLite
    need not wait for it."""
    driver = sys.modules.get("asyncpg")
    return tuple(getattr(driver, name) for name in names) if driver else ()


def first_line(error: BaseException) -> str:
    """The first line of the database's own words; later lines may hold the values of the row."""
    original = error.orig if isinstance(error, DBAPIError) else error
    first, *_ = str(original or error).splitlines() or [type(error).__name__]
    return first[:500]


def later(changed_ms: sa.ColumnElement[int], now_ms: int) -> sa.ColumnElement[int]:
    """The time of a row's change: now, and after the one before, whatever the clock says."""
    return sa.case((changed_ms < now_ms, now_ms), else_=changed_ms + 1)


def _with_driver(url: URL) -> URL:
    """The URL for the asynchronous driver; libpq's `sslmode` becomes what asyncpg calls `ssl`."""
    url = url.set(drivername=DRIVERS[url.get_backend_name()])
    if "sslmode" in url.query:
        sslmode = url.query["sslmode"]
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return url


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.execute("PRAGMA page_size")
    (page_bytes,) = cursor.fetchone()
    cursor.execute(f"PRAGMA wal_autocheckpoint={SQLITE_CHECKPOINT_BYTES // page_bytes}")
    cursor.close()
