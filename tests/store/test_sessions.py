"""The session store on both databases, by the contract."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.sessions import SqlSessions
from tests.contracts.session_store import SessionStoreContract


class TestSqliteSessions(SessionStoreContract):
    """SQLite."""

    @pytest.fixture
    def sessions(self, sqlite: AsyncEngine) -> SqlSessions:
        """The store under test."""
        return SqlSessions(sqlite)


@pytest.mark.xdist_group("postgres")
class TestPostgresSessions(SessionStoreContract):
    """PostgreSQL."""

    @pytest.fixture
    def sessions(self, postgres: AsyncEngine) -> SqlSessions:
        """The store under test."""
        return SqlSessions(postgres)
