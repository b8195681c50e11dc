"""Users and their API keys."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Refused
from core.ports import Conflict
from core.users import ApiKey, User
from store.engine import later, transaction
from store.schema import api_keys, users


class SqlUsers:
    """The UserStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, user: User) -> None:
        """See core.users.UserStore."""
        user = user._replace(email=user.email.lower())
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(sa.insert(users).values(**user._asdict()))
        except Refused:
            raise Conflict(user.email) from None

    async def find(self, email_or_id: str) -> User | None:
        """See core.users.UserStore."""
        same = (users.c.id == email_or_id) | (users.c.email == email_or_id.lower())
        async with transaction(self._engine) as connection:
            row = (await connection.execute(sa.select(users).where(same))).first()
        return User(*row) if row else None

    async def list(self) -> list[User]:
        """See core.users.UserStore."""
        query = sa.select(users).order_by(users.c.created_ms, users.c.id)
        async with transaction(self._engine) as connection:
            return [User(*row) for row in await connection.execute(query)]

    async def set_password(self, user_id: str, password_hash: str, *, now_ms: int) -> None:
        """See core.users.UserStore."""
        await self._set(user_id, now_ms, password_hash=password_hash)

    async def set_status(self, user_id: str, status: str, *, now_ms: int) -> None:
        """See core.users.UserStore."""
        await self._set(user_id, now_ms, status=status)

    async def _set(self, user_id: str, now_ms: int, **values: str) -> None:
        """Each change is after the one before: by that caches tell which is the later."""
        at_ms = later(users.c.updated_ms, now_ms)
        change = sa.update(users).where(users.c.id == user_id).values(**values, updated_ms=at_ms)
        async with transaction(self._engine) as connection:
            await connection.execute(change)


class SqlApiKeys:
    """The ApiKeyStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, key: ApiKey) -> None:
        """See core.users.ApiKeyStore."""
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(sa.insert(api_keys).values(**key._asdict()))
        except Refused:
            raise Conflict(key.id) from None

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """See core.users.ApiKeyStore."""
        of_user = sa.select(api_keys).where(api_keys.c.user_id == user_id)
        query = of_user.order_by(api_keys.c.created_ms, api_keys.c.id)
        async with transaction(self._engine) as connection:
            return [ApiKey(*row) for row in await connection.execute(query)]

    async def by_digest(self, sha256: bytes) -> ApiKey | None:
        """See core.users.ApiKeyStore."""
        query = sa.select(api_keys).where(api_keys.c.sha256 == sha256)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).first()
        return ApiKey(*row) if row else None

    async def delete(self, key_id: str) -> None:
        """See core.users.ApiKeyStore."""
        async with transaction(self._engine) as connection:
            await connection.execute(sa.delete(api_keys).where(api_keys.c.id == key_id))

    async def used(self, times: Mapping[str, int], *, apart_ms: int) -> dict[str, int]:
        """See core.users.ApiKeyStore."""
        at_ms = sa.bindparam("at_ms", type_=sa.BigInteger)
        last_ms = api_keys.c.last_used_ms
        update = (
            sa.update(api_keys)
            .where(api_keys.c.id == sa.bindparam("key"))
            .where(last_ms.is_(None) | (last_ms <= at_ms - apart_ms))
            .values(last_used_ms=at_ms)
        )
        kept = sa.select(api_keys.c.id, last_ms).where(api_keys.c.id.in_(times))
        rows = [{"key": key_id, "at_ms": ms} for key_id, ms in sorted(times.items())]
        if not rows:
            return {}
        async with transaction(self._engine) as connection:
            await connection.execute(update, rows)
            found = (await connection.execute(kept)).all()
        return {row.id: row.last_used_ms for row in found}
