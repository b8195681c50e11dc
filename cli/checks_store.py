"""The doctor's checks of the store: its version, its schema, its secrets. Nothing is changed."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.findings import Answer, Check, broken, holds, unchecked, warning
from core.settings import SettingError, Settings
from store.accounts import SqlProjects
from store.engine import transaction
from store.migrate import revisions
from store.sealing import Sealer, check_master_key

SQLITE_MIN, POSTGRESQL_MIN = (3, 35, 0), 14
MIGRATE = "Start a gateway or a worker of this version: each brings the schema up to date."


class Store(NamedTuple):
    """A store that has been reached."""

    engine: AsyncEngine
    settings: Settings


def sqlite_file(engine: AsyncEngine) -> Path | None:
    """The file that an engine opens; None if it is not SQLite's."""
    is_sqlite = engine.url.get_backend_name() == "sqlite"
    return Path(engine.url.database or "").absolute() if is_sqlite else None


def check_file(path: Path) -> None:
    """Raises sqlite3.Error for a file that is not there or no database; makes none."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
    try:
        connection.execute("PRAGMA schema_version")
    finally:
        connection.close()


async def check_version(store: Store) -> Iterable[Answer]:
    """PostgreSQL >= 14, SQLite >= 3.35."""
    if (path := sqlite_file(store.engine)) is not None:
        return judge_sqlite(sqlite3.sqlite_version_info, path)
    async with transaction(store.engine) as connection:
        number = int((await connection.execute(sa.text("SHOW server_version_num"))).scalar_one())
    return judge_postgresql(number)


def judge_sqlite(version: tuple[int, ...], path: Path) -> list[Answer]:
    """The answer to a version of SQLite."""
    found = f"SQLite {'.'.join(map(str, version))}, {path}"
    if version < SQLITE_MIN:
        return broken(found, "Install a Python with SQLite >= 3.35, or use PostgreSQL.")
    return holds(found)


def judge_postgresql(number: int) -> list[Answer]:
    """The answer to a version of PostgreSQL, as a number such as 150004."""
    found = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number < POSTGRESQL_MIN * 10_000:
        return broken(found, f"Upgrade to PostgreSQL {POSTGRESQL_MIN} or later.")
    return holds(found)


async def check_schema(store: Store) -> Iterable[Answer]:
    """The database's revision against this version's."""
    has, head = await revisions(store.engine)
    if has == head:
        return holds(f"revision {head}")
    if has is None:
        return broken(f"there are no tables yet; revision {head} is wanted", MIGRATE)
    return broken(f"revision {has}, not {head}", MIGRATE, "contox-ingest worker")


async def check_secrets(store: Store) -> Iterable[Answer]:
    """CONTOX_MASTER_KEY opens what is stored."""
    key, projects = store.settings.master_key, SqlProjects(store.engine)
    if key is None:
        return unchecked("CONTOX_MASTER_KEY is not set here", "Set it, as the gateways have it.")
    if not (count := len(await projects.list())):
        return warning("there is no project", "Make one.", "contox-ingest project create NAME")
    try:
        await check_master_key(projects, Sealer(key))
    except SettingError as error:
        return broken(str(error), "Set CONTOX_MASTER_KEY to the key that they were made with.")
    return holds(f"CONTOX_MASTER_KEY opens them; projects: {count:,}")


CHECKS = (
    Check("The store's version is supported", check_version),
    Check("The store has this version's schema", check_schema),
    Check("The projects' secrets can be opened", check_secrets),
)
