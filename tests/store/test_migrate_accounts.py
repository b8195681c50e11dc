"""The step from the second revision to the third, with data, there and back."""

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.event import Row
from core.ports import EventFilter, Project, ProjectKeys, SealedSecret
from store.accounts import SqlProjects
from store.engine import open_engine
from store.events import SqlEvents
from store.migrate import alembic, migrate, revisions

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
    keys = ProjectKeys("active", (SealedSecret(b"sealed", None),))
    assert await projects.keys("proj_1") == keys
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


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("session_id = 's'", "ix_events_project_id_session_id_received_ms_event_id"),
        ("event = 'e'", "ix_events_project_id_event_received_ms_event_id"),
        ("received_ms > 5", "ix_events_project_id_received_ms_event_id"),
    ],
)
async def test_filters_have_indexes(sqlite: AsyncEngine, wanted: str, index: str) -> None:
    """Each filter of events is served newest first from an index, without a sort."""
    query = (
        f"EXPLAIN QUERY PLAN SELECT * FROM events WHERE project_id = 'p' AND {wanted}"
        " AND (received_ms, event_id) < (9, 'x') ORDER BY received_ms DESC, event_id DESC LIMIT 9"
    )
    async with sqlite.connect() as connection:
        plan = "\n".join(str(row[3]) for row in await connection.exec_driver_sql(query))
    assert f"USING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan
