"""The LedgerStore on real databases."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.events import SqlEvents
from store.ledger import SqlLedger
from tests.contracts.ledger_store import LedgerStoreContract


class TestSqlite(LedgerStoreContract):
    """The contract on SQLite."""

    @pytest.fixture
    def ledger(self, sqlite: AsyncEngine) -> SqlLedger:
        """An empty ledger."""
        return SqlLedger(sqlite)

    @pytest.fixture
    def events(self, sqlite: AsyncEngine) -> SqlEvents:
        """The events beside it."""
        return SqlEvents(sqlite)


@pytest.mark.xdist_group("postgres")
class TestPostgres(LedgerStoreContract):
    """The contract on PostgreSQL."""

    @pytest.fixture
    def ledger(self, postgres: AsyncEngine) -> SqlLedger:
        """An empty ledger."""
        return SqlLedger(postgres)

    @pytest.fixture
    def events(self, postgres: AsyncEngine) -> SqlEvents:
        """The events beside it."""
        return SqlEvents(postgres)
