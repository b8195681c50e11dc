"""What the doctor says of real databases: version, schema, secrets."""

import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.checks_store import (
    CHECKS,
    Store,
    check_file,
    check_schema,
    check_secrets,
    check_version,
    judge_postgresql,
    judge_sqlite,
    sqlite_file,
)
from cli.findings import Status, examine
from core.ports import Project, SealedSecret
from core.settings import Settings, read
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import alembic
from store.sealing import Sealer
from tests.cli.flow import one

HOLDS, WARNING, BROKEN = Status.HOLDS, Status.WARNING, Status.BROKEN
KEY = bytes(32)


async def with_project(engine: AsyncEngine, settings: Settings) -> Store:
    """A store with a project whose secret KEY seals."""
    sealed = SealedSecret(Sealer(KEY).seal("whsec_1", project_id="proj_1"), None)
    await SqlProjects(engine).create(Project("proj_1", "demo", "active", 1, 1), sealed)
    return Store(engine, settings)


def downgrade(connection: Connection) -> None:
    """Go back one revision."""
    command, config = alembic()
    config.attributes["connection"] = connection
    command.downgrade(config, "-1")


async def test_sqlite(sqlite: AsyncEngine, settings: Settings) -> None:
    """On SQLite every promise holds; version, file, revision and projects are told."""
    found = await examine("store", CHECKS, await with_project(sqlite, settings))
    assert [f.status for f in found] == [HOLDS] * 3
    assert found[0].found == f"SQLite {sqlite3.sqlite_version}, {sqlite.url.database}"
    assert found[1].found.startswith("revision 0")
    assert found[2].found == "CONTOX_MASTER_KEY opens them; projects: 1"


@pytest.mark.xdist_group("postgres")
async def test_postgres(postgres: AsyncEngine, settings: Settings) -> None:
    """On PostgreSQL every promise holds, and one revision behind is broken."""
    store = await with_project(postgres, settings)
    found = await examine("store", CHECKS, store)
    assert [f.status for f in found] == [HOLDS] * 3
    assert found[0].found.startswith("PostgreSQL 1")
    async with postgres.begin() as connection:
        await connection.run_sync(downgrade)
    assert one(await check_schema(store))[0] is BROKEN


async def test_revision_behind(sqlite: AsyncEngine, settings: Settings) -> None:
    """A schema that is one revision behind is told with both numbers, and left as it is."""
    head = one(await check_schema(Store(sqlite, settings)))[1].split()[1]
    async with sqlite.begin() as connection:
        await connection.run_sync(downgrade)
    for _ in range(2):
        status, found = one(await check_schema(Store(sqlite, settings)))
        assert (status, found) == (BROKEN, f"revision {int(head) - 1:04}, not {head}")


async def test_no_tables(tmp_path: Path, settings: Settings) -> None:
    """A database without tables is told so, and what needs them is not checked."""
    engine = open_engine(f"sqlite:///{tmp_path}/empty.db")
    found = await examine("store", CHECKS, Store(engine, settings))
    await engine.dispose()
    assert [f.status for f in found] == [HOLDS, BROKEN, Status.UNCHECKED]
    assert found[1].found.startswith("there are no tables yet; revision ")
    assert "no such table: projects" in found[2].found


async def test_other_key(sqlite: AsyncEngine, settings: Settings, environ: dict[str, str]) -> None:
    """Another master key breaks the promise; none, or no project, is told."""
    assert one(await check_secrets(Store(sqlite, settings))) == (WARNING, "there is no project")
    store = await with_project(sqlite, settings)
    other = read({**environ, "CONTOX_MASTER_KEY": "A" * 42 + "E="})
    status, found = one(await check_secrets(store._replace(settings=other)))
    assert (status, found[:40]) == (BROKEN, "CONTOX_MASTER_KEY is not the key that th")
    none = read({**environ, "CONTOX_MASTER_KEY": ""})
    assert one(await check_secrets(store._replace(settings=none)))[0] is Status.UNCHECKED


async def test_version(sqlite: AsyncEngine, settings: Settings) -> None:
    """The file that SQLite opens is told as a path."""
    assert sqlite_file(sqlite) == Path(str(sqlite.url.database))
    assert one(await check_version(Store(sqlite, settings)))[0] is HOLDS


def test_versions() -> None:
    """SQLite 3.35 and PostgreSQL 14 are the least."""
    path = Path("/a.db")
    assert one(judge_sqlite((3, 35, 0), path)) == (HOLDS, "SQLite 3.35.0, /a.db")
    assert one(judge_sqlite((3, 34, 1), path)) == (BROKEN, "SQLite 3.34.1, /a.db")
    assert one(judge_postgresql(140_000)) == (HOLDS, "PostgreSQL 14.0")
    assert one(judge_postgresql(130_015)) == (BROKEN, "PostgreSQL 13.15")


def test_file(tmp_path: Path) -> None:
    """A file that is missing, or none of SQLite's, is an error, and is not made."""
    with pytest.raises(sqlite3.OperationalError):
        check_file(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
    (tmp_path / "text.db").write_bytes(os.urandom(5000))
    with pytest.raises(sqlite3.DatabaseError):
        check_file(tmp_path / "text.db")
