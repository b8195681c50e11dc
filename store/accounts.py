"""Projects and their sealed secrets."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Refused
from core.ports import Conflict, Project, ProjectKeys, SealedSecret
from store.engine import transaction
from store.schema import projects, secrets

KEYS = (  # built once: that costs as much as running it, and each project's first event waits
    sa.select(projects.c.status, secrets.c.sealed, secrets.c.expires_ms)
    .join(secrets, secrets.c.project_id == projects.c.id)
    .where(projects.c.id == sa.bindparam("project_id"))
    .order_by(secrets.c.id.desc())
)


class SqlProjects:
    """The ProjectStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, project: Project, secret: SealedSecret) -> None:
        """See core.ports.ProjectStore."""
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(sa.insert(projects).values(**project._asdict()))
                await connection.execute(_insert_secret(project.id, secret))
        except Refused:
            raise Conflict(project.name) from None

    async def find(self, name_or_id: str) -> Project | None:
        """See core.ports.ProjectStore."""
        by_id = projects.c.id == name_or_id
        query = sa.select(projects).where(by_id | (projects.c.name == name_or_id))
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query.order_by(by_id.desc()))).all()
        return Project(*rows[0]) if rows else None

    async def list(self) -> list[Project]:
        """See core.ports.ProjectStore."""
        query = sa.select(projects).order_by(projects.c.created_ms, projects.c.id)
        async with transaction(self._engine) as connection:
            return [Project(*row) for row in await connection.execute(query)]

    async def any(self) -> Project | None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(sa.select(projects).limit(1))).first()
        return Project(*row) if row else None

    async def keys(self, project_id: str) -> ProjectKeys | None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(KEYS, {"project_id": project_id})).all()
        if not rows:
            return None
        return ProjectKeys(rows[0].status, tuple(SealedSecret(r[1], r[2]) for r in rows))

    async def rotate(
        self, project_id: str, secret: SealedSecret, *, now_ms: int, old_expires_ms: int
    ) -> None:
        """See core.ports.ProjectStore."""
        of_project = secrets.c.project_id == project_id
        async with transaction(self._engine) as connection:
            await connection.execute(
                sa.update(projects).where(projects.c.id == project_id).values(updated_ms=now_ms)
            )
            await connection.execute(
                sa.update(secrets)
                .where(of_project, secrets.c.expires_ms.is_(None))
                .values(expires_ms=old_expires_ms)
            )
            await connection.execute(
                sa.delete(secrets).where(of_project, secrets.c.expires_ms <= now_ms)
            )
            await connection.execute(_insert_secret(project_id, secret))


def _insert_secret(project_id: str, secret: SealedSecret) -> sa.Insert:
    return sa.insert(secrets).values(
        project_id=project_id, sealed=secret.sealed, expires_ms=secret.expires_ms
    )
