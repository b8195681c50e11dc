"""The stores of users and their keys on both databases, by the contracts."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from store.users import SqlApiKeys, SqlUsers
from tests.contracts.user_store import ApiKeyStoreContract, UserStoreContract


class TestSqliteUsers(UserStoreContract):
    """SQLite."""

    @pytest.fixture
    def users(self, sqlite: AsyncEngine) -> SqlUsers:
        """The store under test."""
        return SqlUsers(sqlite)


class TestSqliteApiKeys(ApiKeyStoreContract):
    """SQLite."""

    @pytest.fixture
    def users(self, sqlite: AsyncEngine) -> SqlUsers:
        """The users beside it."""
        return SqlUsers(sqlite)

    @pytest.fixture
    def keys(self, sqlite: AsyncEngine) -> SqlApiKeys:
        """The store under test."""
        return SqlApiKeys(sqlite)


@pytest.mark.xdist_group("postgres")
class TestPostgresUsers(UserStoreContract):
    """PostgreSQL."""

    @pytest.fixture
    def users(self, postgres: AsyncEngine) -> SqlUsers:
        """The store under test."""
        return SqlUsers(postgres)


@pytest.mark.xdist_group("postgres")
class TestPostgresApiKeys(ApiKeyStoreContract):
    """PostgreSQL."""

    @pytest.fixture
    def users(self, postgres: AsyncEngine) -> SqlUsers:
        """The users beside it."""
        return SqlUsers(postgres)

    @pytest.fixture
    def keys(self, postgres: AsyncEngine) -> SqlApiKeys:
        """The store under test."""
        return SqlApiKeys(postgres)
