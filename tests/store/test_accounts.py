"""The project store on both databases, by the contract."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.accounts import SqlProjects
from store.users import SqlUsers
from tests.contracts.project_store import ProjectStoreContract
from tests.contracts.user_store import ONE


async def user_of(engine: AsyncEngine) -> str:
    """The id of a user who may own projects."""
    await SqlUsers(engine).create(ONE)
    return ONE.id


class TestSqliteProjects(ProjectStoreContract):
    """SQLite."""

    @pytest.fixture
    async def owner(self, sqlite: AsyncEngine) -> str:
        """A user."""
        return await user_of(sqlite)

    @pytest.fixture
    def store(self, sqlite: AsyncEngine) -> SqlProjects:
        """The store under test."""
        return SqlProjects(sqlite)


@pytest.mark.xdist_group("postgres")
class TestPostgresProjects(ProjectStoreContract):
    """PostgreSQL."""

    @pytest.fixture
    async def owner(self, postgres: AsyncEngine) -> str:
        """A user."""
        return await user_of(postgres)

    @pytest.fixture
    def store(self, postgres: AsyncEngine) -> SqlProjects:
        """The store under test."""
        return SqlProjects(postgres)
