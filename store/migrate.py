"""Bring a database to this version's schema; safe when several processes start at once."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.settings import SettingError
from store.engine import Errors, first_line, store_away

START_WAIT_S = 60
RETRY_S = 1
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = max(MIGRATIONS.glob("versions/[0-9]*.py")).stem.partition("_")[0]  # the newest revision
ADVISORY_LOCK = 0x434F4E54  # "CONT": any number that every process of ours agrees on


async def migrate_at_start(
    engine: AsyncEngine,
    wait_s: float = START_WAIT_S,
    on_wait: Callable[[str], None] = lambda _reason: None,
) -> None:
    """`migrate`, waiting at most `wait_s` for a server that is not up yet; never for a file.

    on_wait: told before each wait why it is necessary.
    Raises SettingError if the database cannot be reached or used.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + (0 if engine.dialect.name == "sqlite" else wait_s)
    expected: Errors = (*store_away(), sqlite3.Error)
    while True:
        try:
            _check_file(engine.url)
            return await migrate(engine)
        except expected as error:
            if loop.time() >= until_s:
                reason = first_line(error)
                raise SettingError(f"CONTOX_DATABASE_URL cannot be used: {reason}") from None
            on_wait(first_line(error))
            await asyncio.sleep(RETRY_S)


def _check_file(url: URL) -> None:
    """Raises sqlite3.Error for a file that cannot be opened.

    Where aiosqlite fails at that, its thread outlives the event loop and ends with a traceback.
    """
    if url.get_backend_name() == "sqlite":
        sqlite3.connect(url.database or ":memory:").close()


async def migrate(engine: AsyncEngine) -> None:
    """Apply the migrations that the database lacks, under a lock, in one transaction.

    A database that is current is only read.
    """
    lock = {
        "sqlite": "BEGIN IMMEDIATE",
        "postgresql": f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})",
    }
    async with engine.connect() as connection:
        if await connection.run_sync(_is_current):
            return
    command, config = alembic()  # not in run_sync: a greenlet is no place to import in
    async with engine.begin() as connection:
        await connection.exec_driver_sql(lock[engine.dialect.name])
        config.attributes["connection"] = connection.sync_connection
        await connection.run_sync(lambda _: command.upgrade(config, "head"))


async def revisions(engine: AsyncEngine) -> tuple[str | None, str | None]:
    """The revision that a database has, None if it has no tables of ours; and this version's."""
    async with engine.connect() as connection:
        return await connection.run_sync(_revision), HEAD


def alembic() -> tuple[Any, Any]:
    """(its commands, a configuration that knows our migrations).

    Imported here: it takes half a second, which a start on a current database need not wait for.
    """
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return command, config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _is_current(connection: Connection) -> bool:
    return _revision(connection) == HEAD
