"""How databases are opened, and whose fault an error is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Refused, Unavailable
from store.engine import (
    SQLITE_CHECKPOINT_BYTES,
    SQLITE_PAGE_BYTES,
    first_line,
    open_engine,
    transaction,
)


async def test_sqlite_is_durable(sqlite: AsyncEngine) -> None:
    """Every SQLite connection writes ahead, syncs in full, checks keys and waits for locks."""
    async with sqlite.connect() as connection:
        for pragma, value in {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 10_000,
        }.items():
            assert (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar() == value


async def test_sqlite_pages(sqlite: AsyncEngine, tmp_path: Path) -> None:
    """A new file has large pages, one that is there keeps its own; the WAL has one size in both."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t (x)")
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    for opened, page_bytes in ((sqlite, SQLITE_PAGE_BYTES), (engine, 4096)):
        async with opened.connect() as connection:
            assert (await connection.exec_driver_sql("PRAGMA page_size")).scalar() == page_bytes
            pages = (await connection.exec_driver_sql("PRAGMA wal_autocheckpoint")).scalar()
            assert pages == SQLITE_CHECKPOINT_BYTES // page_bytes
    await engine.dispose()


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?ssl=require"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
    ],
)
async def test_urls(given: str, opened: str) -> None:
    """A plain URL gets the asynchronous driver; libpq's sslmode is understood."""
    engine = open_engine(given)
    assert engine.url == make_url(opened)
    await engine.dispose()


@pytest.mark.parametrize("raised", [OSError("no route"), TimeoutError(), ConnectionResetError()])
async def test_network_errors(sqlite: AsyncEngine, raised: Exception) -> None:
    """What the network does is Unavailable."""
    with pytest.raises(Unavailable):
        async with transaction(sqlite):
            raise raised


async def test_locked(sqlite: AsyncEngine, tmp_path: Path) -> None:
    """A database that another holds for too long is Unavailable, not refused."""
    impatient = open_engine(str(sqlite.url).replace("+aiosqlite", ""))
    async with sqlite.connect() as holder:
        await holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            async with transaction(impatient) as connection:
                await connection.exec_driver_sql("PRAGMA busy_timeout=10")
                await connection.exec_driver_sql("DELETE FROM events")
    await impatient.dispose()


async def test_broken_rule(sqlite: AsyncEngine) -> None:
    """A broken rule is Refused."""
    with pytest.raises(Refused, match="NOT NULL"):
        async with transaction(sqlite) as connection:
            await connection.exec_driver_sql("INSERT INTO projects (id) VALUES ('x')")


async def test_bug_stays_a_bug(sqlite: AsyncEngine) -> None:
    """What is neither the data's nor the database's fault passes through."""
    with pytest.raises(ZeroDivisionError):
        async with transaction(sqlite):
            raise ZeroDivisionError


def test_first_line() -> None:
    """A reason is the first line of the database's words, bounded; later lines hold values."""
    error = OperationalError("SELECT 1", {}, Exception("it broke\nDETAIL: 4111"))
    assert first_line(error) == "it broke"
    assert first_line(TimeoutError()) == "TimeoutError"
    assert len(first_line(OSError("x" * 1000))) == 500
