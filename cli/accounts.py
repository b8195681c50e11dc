"""Projects as commands handle them: made with a secret, shown, changed, rotated, deleted."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from cli.errors import CliError
from cli.find_project import find_project
from core.errors import Unavailable
from core.ports import Conflict, Project, SealedSecret
from core.sessions import SessionStore
from core.settings import SettingError, Settings, read
from core.users import UserStore
from gateway.api.deletions import delete_events
from gateway.api.project_changes import DELETING, NAME_MAX, ProjectChanges, is_name
from gateway.key_cache import KeyCache
from runtime.ledger import in_flight
from runtime.queue import QUEUE_ERRORS, open_queue
from store.accounts import SqlProjects
from store.engine import open_engine
from store.events import SqlEvents
from store.migrate import migrate_at_start
from store.sealing import Sealer, check_master_key
from store.sessions import SqlSessions
from store.users import SqlUsers


class Rotation(NamedTuple):
    """What a rotation has done."""

    secret: str
    old_expires_ms: int
    announced: bool  # whether every gateway that listens knows by now


class Deletion(NamedTuple):
    """What has become of a project that was deleted."""

    announced: bool
    events: int  # deleted
    left: int  # in the queue still: they will be stored


class Accounts(NamedTuple):
    """An open store of projects, with the means to seal and to announce.

    What changes a project returns whether every gateway knows by now; if the queue is away, they
    learn it when what they have cached expires.
    """

    changes: ProjectChanges
    users: UserStore
    events: SqlEvents
    sessions: SessionStore
    queue: Redis
    settings: Settings

    @property
    def projects(self) -> SqlProjects:
        """The store of projects."""
        assert isinstance(self.changes.projects, SqlProjects)
        return self.changes.projects

    async def create(self, name: str, owner: str | None = None) -> tuple[Project, str]:
        """A new project and its secret. owner: a user's address or id.

        Raises CliError if the name is taken or not usable, or there is no such user.
        """
        if not is_name(name):
            raise CliError(f"A project's name is 1 to {NAME_MAX} printable characters.")
        owner_id = None
        if owner is not None:
            owner_id = await self._user(owner)
        try:
            return await self.changes.create(name, owner_id=owner_id)
        except Conflict:
            raise CliError(f"There is a project {name!r} already; choose another name.") from None

    async def find(self, name_or_id: str) -> Project:
        """The project. Raises CliError if there is none, or several users have one of the name."""
        return await find_project(self.projects, name_or_id)

    async def nobodys(self, name: str) -> Project | None:
        """The project of this name that has no owner."""
        found = await self.projects.list()
        return next((p for p in found if p.name == name and p.owner_id is None), None)

    async def secret(self, identity: str) -> str:
        """The project's current secret."""
        secret = await self.changes.secret(identity)
        assert secret is not None
        return secret

    async def previous(self, identity: str) -> SealedSecret | None:
        """The secret that verifies for a while yet; None if there is none."""
        return await self.changes.previous(identity)

    async def rotate(self, identity: str, grace_s: int) -> Rotation:
        """A new secret; the old one verifies for `grace_s` seconds more."""
        done = await self.changes.rotate(identity, grace_s, self.events)
        announced = await _told(self.changes.announce(identity))
        return Rotation(done.secret, done.old_expires_ms, announced)

    async def set_status(self, identity: str, status: str) -> bool:
        """Take no more events of a project, or take them again."""
        return await _told(self.changes.set(identity, status=status))

    async def delete(self, project: Project, *, events: bool) -> Deletion:
        """Forget a project, and its events if so asked, those in the queue included.

        If that is broken off, a gateway goes on with it at its next start.
        """
        deleted = left = 0
        if events:
            await _told(self.changes.set(project.id, status=DELETING))
            deleted, left = await delete_events(self.events, project.id, self._in_flight)
            await self.sessions.delete(project.id)
        return Deletion(await _told(self.changes.delete(project.id)), deleted, left)

    async def _in_flight(self, project_id: str) -> int:
        """How many of its events are in the queue; 0 if that is away, of which the caller is told
        by `announced`."""
        try:
            return await in_flight(self.queue, project_id, partitions=self.settings.partitions)
        except QUEUE_ERRORS:
            return 0

    async def _user(self, email_or_id: str) -> str:
        if email_or_id.isprintable() and (user := await self.users.find(email_or_id.strip())):
            return user.id
        raise CliError(f"There is no user {email_or_id!r}; list them with: contox-ingest user list")


async def _told(change: Awaitable[None]) -> bool:
    """Do what ends with telling the gateways. False: the queue is away."""
    try:
        await change
    except QUEUE_ERRORS:
        return False
    return True


@asynccontextmanager
async def open_accounts(environ: Mapping[str, str]) -> AsyncIterator[Accounts]:
    """The store of projects that the environment names. Raises CliError, SettingError."""
    settings = read(environ)
    if settings.master_key is None:
        raise SettingError("CONTOX_MASTER_KEY is not set; it seals the projects' secrets.")
    engine = open_engine(settings.database_url)
    queue = open_queue(settings.redis_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        projects, sealer = SqlProjects(engine), Sealer(settings.master_key)
        await check_master_key(projects, sealer)
        changes = ProjectChanges(projects, sealer, KeyCache(queue, ttl_s=settings.keyring_ttl_s))
        users, events, sessions = SqlUsers(engine), SqlEvents(engine), SqlSessions(engine)
        yield Accounts(changes, users, events, sessions, queue, settings)
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await queue.aclose()
        await engine.dispose()
