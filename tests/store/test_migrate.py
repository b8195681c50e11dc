"""Migrations: applied once however many start at once, reversible, and equal to the schema."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from core.settings import SettingError
from store.engine import open_engine
from store.migrate import HEAD, MIGRATIONS, migrate, migrate_at_start, revisions
from store.schema import metadata


def differences(connection: Connection) -> list[object]:
    """What the migrations have not made as store/schema.py declares it."""
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def assert_current(engine: AsyncEngine) -> None:
    """The database has exactly the declared tables."""
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_sqlite_is_current(sqlite: AsyncEngine) -> None:
    """On SQLite the migrations make what the schema declares."""
    await assert_current(sqlite)


@pytest.mark.xdist_group("postgres")
async def test_postgres_is_current(postgres: AsyncEngine) -> None:
    """On PostgreSQL the migrations make what the schema declares."""
    await assert_current(postgres)


async def test_again_is_nothing(sqlite: AsyncEngine) -> None:
    """Migrating a current database changes nothing, and needs no lock to see that."""
    async with sqlite.connect() as holder:
        await holder.exec_driver_sql("BEGIN IMMEDIATE")
        await asyncio.wait_for(migrate(sqlite), 2)
    await assert_current(sqlite)


async def test_revisions(tmp_path: Path) -> None:
    """A database tells its revision, which is ours once it is migrated; asking changes nothing."""
    engine = open_engine(f"sqlite:///{tmp_path}/new.db")
    has, head = await revisions(engine)
    assert (has, len(head or "")) == (None, 4)
    assert (await revisions(engine))[0] is None
    await migrate(engine)
    assert await revisions(engine) == (head, head)
    await engine.dispose()


async def start_together(url: str) -> None:
    """Ten processes' worth of engines migrate one empty database."""
    engines = [open_engine(url) for _ in range(10)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    await assert_current(engines[0])
    await asyncio.gather(*(engine.dispose() for engine in engines))


async def test_together_sqlite(tmp_path: Path) -> None:
    """Processes that start at once on an empty SQLite file do not disturb each other."""
    await start_together(f"sqlite:///{tmp_path}/new.db")


@pytest.mark.xdist_group("postgres")
async def test_together_postgres(postgres: AsyncEngine) -> None:
    """Processes that start at once on an empty PostgreSQL database do not disturb each other."""
    async with postgres.begin() as connection:
        await connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        await connection.exec_driver_sql("CREATE SCHEMA public")
    url = postgres.url.set(drivername="postgresql").render_as_string(hide_password=False)
    await start_together(url)


async def test_failed_migration_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails half-way is rolled back whole."""
    from alembic import op

    def fail(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(op, "create_index", fail)
    engine = open_engine(f"sqlite:///{tmp_path}/new.db")
    with pytest.raises(ZeroDivisionError):
        await migrate(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == []
    await engine.dispose()


async def test_path_that_cannot_be_used() -> None:
    """A SQLite path that cannot be opened stops the start at once, by the setting's name."""
    engine = open_engine("sqlite:////nowhere/at/all.db")
    with pytest.raises(SettingError, match="CONTOX_DATABASE_URL"):
        await migrate_at_start(engine)
    await engine.dispose()


async def test_server_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database server that is not up is waited for, but not for ever."""
    monkeypatch.setattr("store.migrate.RETRY_S", 0.05)
    engine = open_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(SettingError, match="CONTOX_DATABASE_URL cannot be used"):
        await asyncio.wait_for(migrate_at_start(engine, wait_s=0.2), 5)
    await engine.dispose()


def test_head() -> None:
    """The newest revision, told by the files' names, is Alembic's."""
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


@pytest.mark.parametrize("module", ["alembic", "asyncpg", "sqlalchemy.dialects.postgresql"])
def test_not_imported(module: str) -> None:
    """A role on SQLite starts without what takes long to import and is not needed there."""
    code = f"import sys, gateway.main, worker.main; sys.exit('{module}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
