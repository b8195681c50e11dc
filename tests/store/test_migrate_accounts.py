"""The step from the second revision to the third, with data, there and back."""

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.event import Row
from core.ports import EventFilter, Project, ProjectKeys, SealedSecret
from core.sessions import Session
from store.accounts import SqlProjects
from store.engine import open_engine
from store.events import SqlEvents
from store.migrate import alembic, migrate, revisions
from store.sessions import SqlSessions

OLD = (
    "INSERT INTO projects (id, name, status, created_ms, updated_ms)"
    " VALUES ('proj_1', 'demo', 'active', 1, 2)",
    "INSERT INTO events (project_id, event_id, session_id, event, payload, received_ms)"
    " VALUES ('proj_1', 'evt_1', 'sess_1', 'saved', '{\"n\": 1.0}', 3)",
)
ROW = Row("proj_1", "evt_1", "sess_1", "saved", '{"n": 1.0}', None, 3)


async def bring_to(engine: AsyncEngine, revision: str) -> None:
    """Run the migrations that lead to a revision, forwards or backwards."""
    command, config = alembic()
    step = command.downgrade if revision < ((await revisions(engine))[0] or "") else command.upgrade
    async with engine.begin() as connection:
        config.attributes["connection"] = connection.sync_connection
        await connection.run_sync(lambda _: step(config, revision))


async def step_with_data(engine: AsyncEngine) -> None:
    """What the second revision holds is there after the third, and after going back."""
    await bring_to(engine, "0002")
    async with engine.begin() as connection:
        for statement in OLD:
            await connection.exec_driver_sql(statement)
        secret = sa.text("INSERT INTO secrets (project_id, sealed) VALUES ('proj_1', :sealed)")
        await connection.execute(secret, {"sealed": b"sealed"})
    await migrate(engine)
    projects = SqlProjects(engine)
    expected = Project("proj_1", "demo", "active", 1, 2, None, "", "private")
    assert await projects.list() == [expected]
    keys = ProjectKeys("active", (SealedSecret(b"sealed", None),), version=2)
    assert await projects.keys("proj_1") == keys
    session = Session("sess_1", "proj_1", 3, None, None, 1, 3, 3, 3)
    assert await SqlSessions(engine).get("sess_1") == session
    page = await SqlEvents(engine).page(EventFilter("proj_1", session_id="sess_1"), limit=9)
    assert page.rows == [ROW]
    await bring_to(engine, "0002")
    async with engine.connect() as connection:
        for table in ("projects", "secrets", "events"):
            found = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert found.scalar() == 1
    await migrate(engine)


async def test_sqlite(tmp_path: object) -> None:
    """SQLite keeps its projects, secrets and events through the migration."""
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    await step_with_data(engine)
    await engine.dispose()


@pytest.mark.xdist_group("postgres")
async def test_postgres(postgres: AsyncEngine) -> None:
    """PostgreSQL keeps its projects, secrets and events through the migration."""
    async with postgres.begin() as connection:
        await connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        await connection.exec_driver_sql("CREATE SCHEMA public")
    await step_with_data(postgres)
