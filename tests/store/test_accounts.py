"""The project store on both databases, by the contract."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.accounts import SqlProjects
from tests.contracts.project_store import ProjectStoreContract


class TestSqliteProjects(ProjectStoreContract):
    """SQLite."""

    @pytest.fixture
    def store(self, sqlite: AsyncEngine) -> SqlProjects:
        """The store under test."""
        return SqlProjects(sqlite)


@pytest.mark.xdist_group("postgres")
class TestPostgresProjects(ProjectStoreContract):
    """PostgreSQL."""

    @pytest.fixture
    def store(self, postgres: AsyncEngine) -> SqlProjects:
        """The store under test."""
        return SqlProjects(postgres)
