"""Projects and their sealed secrets."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Refused
from core.ports import Conflict, Project, ProjectKeys, SealedSecret
from store.engine import later, transaction
from store.schema import projects, secrets

KEYS = (  # built once: that costs as much as running it, and each project's first event waits
    sa.select(
        projects.c.status,
        projects.c.owner_id,
        projects.c.updated_ms,
        secrets.c.sealed,
        secrets.c.expires_ms,
        secrets.c.last_used_ms,
    )
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

    async def get(self, project_id: str) -> Project | None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(sa.select(projects).where(_is(project_id)))).first()
        return Project(*row) if row else None

    async def find(self, name_or_id: str) -> Project | None:
        """See core.ports.ProjectStore."""
        same = sa.or_(_is(name_or_id), projects.c.name == name_or_id)
        query = sa.select(projects).where(same).order_by(_is(name_or_id).desc()).limit(2)
        async with transaction(self._engine) as connection:
            found = [Project(*row) for row in await connection.execute(query)]
        if len(found) > 1 and found[0].id != name_or_id:
            raise Conflict(name_or_id)
        return found[0] if found else None

    async def list(self, owner_id: str | None = None, *, name: str | None = None) -> list[Project]:
        """See core.ports.ProjectStore."""
        query = sa.select(projects).order_by(projects.c.created_ms, projects.c.id)
        if owner_id is not None:
            query = query.where(projects.c.owner_id == owner_id)
        if name is not None:
            query = query.where(projects.c.name == name)
        async with transaction(self._engine) as connection:
            return [Project(*row) for row in await connection.execute(query)]

    async def any(self) -> Project | None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(sa.select(projects).limit(1))).first()
        return Project(*row) if row else None

    async def update(self, project_id: str, changes: Mapping[str, str], *, now_ms: int) -> None:
        """See core.ports.ProjectStore."""
        values = {**changes, "updated_ms": later(projects.c.updated_ms, now_ms)}
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(
                    sa.update(projects).where(_is(project_id)).values(**values)
                )
        except Refused:
            raise Conflict(changes.get("name", project_id)) from None

    async def delete(self, project_id: str) -> None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            await connection.execute(sa.delete(secrets).where(secrets.c.project_id == project_id))
            await connection.execute(sa.delete(projects).where(_is(project_id)))

    async def keys(self, project_id: str) -> ProjectKeys | None:
        """See core.ports.ProjectStore."""
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(KEYS, {"project_id": project_id})).all()
        if not rows:
            return None
        sealed = tuple(SealedSecret(*row[3:]) for row in rows)
        return ProjectKeys(rows[0].status, sealed, rows[0].owner_id, rows[0].updated_ms)

    async def rotate(
        self,
        project_id: str,
        secret: SealedSecret,
        *,
        now_ms: int,
        old_expires_ms: int,
        old_last_used_ms: int | None = None,
    ) -> None:
        """See core.ports.ProjectStore."""
        of_project = secrets.c.project_id == project_id
        old = {"expires_ms": old_expires_ms}
        if old_last_used_ms is not None:
            old["last_used_ms"] = old_last_used_ms
        async with transaction(self._engine) as connection:
            await connection.execute(  # first: another rotation of the project waits here
                sa.update(projects)
                .where(_is(project_id))
                .values(updated_ms=later(projects.c.updated_ms, now_ms))
            )
            older = sa.delete(secrets).where(of_project, secrets.c.expires_ms.is_not(None))
            await connection.execute(older)
            if old_expires_ms > now_ms:
                await connection.execute(sa.update(secrets).where(of_project).values(**old))
            else:
                await connection.execute(sa.delete(secrets).where(of_project))
            await connection.execute(_insert_secret(project_id, secret))

    async def used(
        self, times: Mapping[tuple[str, bytes], int], *, apart_ms: int
    ) -> dict[tuple[str, bytes], int]:
        """See core.ports.ProjectStore."""
        at_ms = sa.bindparam("at_ms", type_=sa.BigInteger)
        last_ms = secrets.c.last_used_ms
        update = (
            sa.update(secrets)
            .where(secrets.c.project_id == sa.bindparam("project"))
            .where(secrets.c.sealed == sa.bindparam("form"))
            .where(last_ms.is_(None) | (last_ms <= at_ms - apart_ms))
            .values(last_used_ms=at_ms)
        )
        rows = [
            {"project": project, "form": sealed, "at_ms": ms}
            for (project, sealed), ms in sorted(times.items())
        ]
        of_projects = secrets.c.project_id.in_({project for project, _ in times})
        kept = sa.select(secrets.c.project_id, secrets.c.sealed, last_ms).where(of_projects)
        if not rows:
            return {}
        async with transaction(self._engine) as connection:
            await connection.execute(update, rows)
            found = (await connection.execute(kept)).all()
        return {(project, form): ms for project, form, ms in found if (project, form) in times}


def _is(project_id: str) -> sa.ColumnElement[bool]:
    return projects.c.id == project_id


def _insert_secret(project_id: str, secret: SealedSecret) -> sa.Insert:
    return sa.insert(secrets).values(
        project_id=project_id, sealed=secret.sealed, expires_ms=secret.expires_ms
    )
