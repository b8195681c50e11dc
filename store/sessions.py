"""Sessions in the store; their counts are kept by store/tallies.py."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.sessions import ACTIVE, SESSION_MS, Session, SessionPage
from store.engine import transaction
from store.schema import ingest_sessions as table

OPENED = sa.text("""
    INSERT INTO ingest_sessions (id, project_id, started_ms, source, updated_ms)
    VALUES (:id, :project_id, :started_ms, :source, :started_ms)
    ON CONFLICT (id, project_id) DO UPDATE SET
        source = coalesce(ingest_sessions.source, excluded.source)""")


class SqlSessions:
    """The SessionStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def opened(self, sessions: Collection[Session]) -> None:
        """See core.sessions.SessionStore."""
        if sessions:
            async with transaction(self._engine) as connection:
                await connection.execute(OPENED, [one._asdict() for one in sorted(sessions)])

    async def get(self, session_id: str) -> Session | None:
        """See core.sessions.SessionStore."""
        query = sa.select(table).where(table.c.id == session_id)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).first()
        return Session(*row) if row else None

    async def page(
        self, project_id: str, *, status: str | None, now_ms: int, limit: int
    ) -> SessionPage:
        """See core.sessions.SessionStore."""
        which = [table.c.project_id == project_id]
        if status is not None:
            active = _active(now_ms)
            which.append(active if status == ACTIVE else sa.not_(active))
        newest = table.c.started_ms.desc(), table.c.id.desc()
        query = sa.select(table).where(*which).order_by(*newest).limit(limit)
        count = sa.select(sa.func.count()).select_from(table).where(*which)
        async with transaction(self._engine) as connection:
            rows = [Session(*row) for row in await connection.execute(query)]
            return SessionPage(rows, (await connection.execute(count)).scalar_one())

    async def close(self, session_id: str, *, now_ms: int) -> None:
        """See core.sessions.SessionStore."""
        await self._close(now_ms, table.c.id == session_id, table.c.closed_ms.is_(None))

    async def close_others(self, project_id: str, session_id: str, *, now_ms: int) -> None:
        """See core.sessions.SessionStore."""
        others = (table.c.project_id == project_id, table.c.id != session_id)
        await self._close(now_ms, *others, _active(now_ms))

    async def delete(self, project_id: str) -> None:
        """See core.sessions.SessionStore."""
        async with transaction(self._engine) as connection:
            await connection.execute(sa.delete(table).where(table.c.project_id == project_id))

    async def _close(self, now_ms: int, *which: sa.ColumnElement[bool]) -> None:
        closed = {"closed_ms": now_ms, "updated_ms": now_ms}
        async with transaction(self._engine) as connection:
            await connection.execute(sa.update(table).where(*which).values(**closed))


def _active(now_ms: int) -> sa.ColumnElement[bool]:
    """See core.sessions.Session.status."""
    return table.c.closed_ms.is_(None) & (table.c.started_ms > now_ms - SESSION_MS)
