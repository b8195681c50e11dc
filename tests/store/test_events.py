"""The event store on both databases: the contract, and what each database refuses."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Refused, Unavailable
from store.engine import open_engine
from store.events import STAGED_WRITES, SqlEvents, _PostgresWriter
from store.ledger import SqlLedger
from tests.contracts.event_store import PROJECT, EventStoreContract, row

FORBID = {
    "sqlite": """CREATE TRIGGER forbid BEFORE INSERT ON events WHEN NEW.event = 'poison'
        BEGIN SELECT RAISE(ABORT, 'poison is forbidden'); END""",
    "postgresql": "ALTER TABLE events ADD CONSTRAINT forbid CHECK (event <> 'poison')",
}


class SqlEventsContract(EventStoreContract):
    """What both databases add."""

    @pytest.fixture
    def store(self, engine: AsyncEngine) -> SqlEvents:
        """The store under test."""
        return SqlEvents(engine)

    async def test_refused(self, engine: AsyncEngine, store: SqlEvents) -> None:
        """A row that breaks a rule refuses the whole batch, with the database's reason."""
        async with engine.begin() as connection:
            await connection.exec_driver_sql(FORBID[engine.dialect.name])
        with pytest.raises(Refused, match="forbid"):
            await store.write([row(1), row(2, event="poison"), row(3)])
        assert (await store.page(PROJECT, limit=10)).rows == []

    async def test_reason_holds_no_values(self, engine: AsyncEngine, store: SqlEvents) -> None:
        """The reason of a refusal does not repeat what was in the row."""
        async with engine.begin() as connection:
            await connection.exec_driver_sql(FORBID[engine.dialect.name])
        with pytest.raises(Refused) as refused:
            await store.write([row(1, event="poison", payload='{"card":"4111"}')])
        assert "4111" not in refused.value.why

    async def test_missing_table_is_not_the_rows_fault(
        self, engine: AsyncEngine, store: SqlEvents
    ) -> None:
        """A broken schema is Unavailable: nothing goes to the dead letters for it."""
        async with engine.begin() as connection:
            await connection.exec_driver_sql("DROP TABLE events")
        with pytest.raises(Unavailable):
            await store.write([row(1)])

    async def test_large_batch(self, store: SqlEvents) -> None:
        """A batch far over any parameter limit is one write."""
        rows = [row(n) for n in range(20_000)]
        assert await store.write(rows) == 20_000
        assert await store.write(rows) == 0

    async def test_counted_per_project(self, engine: AsyncEngine, store: SqlEvents) -> None:
        """New rows are counted for their own projects, also in batches with duplicates."""
        rows = [row(n, project_id=f"proj_{n % 3}") for n in range(2_500)]
        await store.write(rows[:1_500])
        assert await store.write(rows) == 1_000
        assert await store.write([*rows, row(9_999, project_id="proj_0")]) == 1
        counts = await SqlLedger(engine).stored(["proj_0", "proj_1", "proj_2"])
        assert counts == {"proj_0": 835, "proj_1": 833, "proj_2": 833}


class TestSqliteEvents(SqlEventsContract):
    """SQLite."""

    @pytest.fixture
    def engine(self, sqlite: AsyncEngine) -> AsyncEngine:
        """A fresh database."""
        return sqlite

    async def test_check_constraint_is_not_ignored(self, engine: AsyncEngine) -> None:
        """A broken NOT NULL is refused, not skipped in silence as INSERT OR IGNORE would."""
        with pytest.raises(Refused, match="NOT NULL"):
            await SqlEvents(engine).write([row(1, session_id=None)])


@pytest.mark.xdist_group("postgres")
class TestPostgresEvents(SqlEventsContract):
    """PostgreSQL."""

    @pytest.fixture
    def engine(self, postgres: AsyncEngine) -> AsyncEngine:
        """A fresh database."""
        return postgres

    async def test_straight_again(self, store: SqlEvents) -> None:
        """After a duplicate the next writes go through the temporary table, then straight again."""
        await store.write([row(1)])
        writer = store._writer
        assert isinstance(writer, _PostgresWriter)
        for number in range(STAGED_WRITES):
            assert await store.write([row(1), row(number + 2)]) == 1
        assert writer._staged == 0
        assert await store.write([row(100)]) == 1
        assert writer._staged == 0


async def test_unreachable() -> None:
    """A database that does not answer is Unavailable."""
    engine = open_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        await SqlEvents(engine).write([row(1)])
    await engine.dispose()
