"""Projects as commands handle them: made with a secret, shown, rotated."""

import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from cli.errors import CliError
from core.errors import Unavailable
from core.ids import ENTROPY_BYTES, project_id
from core.ports import Conflict, Project, SealedSecret
from core.settings import SettingError, Settings, read
from gateway.key_cache import KeyCache
from runtime.queue import QUEUE_ERRORS, open_queue
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate_at_start
from store.sealing import Sealer, check_master_key

NAME_MAX = 100


class Rotation(NamedTuple):
    """What a rotation has done."""

    secret: str
    old_expires_ms: int
    announced: bool  # whether every gateway that listens knows by now


class Accounts(NamedTuple):
    """An open store of projects, with the means to seal and to announce."""

    projects: SqlProjects
    sealer: Sealer
    settings: Settings

    async def create(self, name: str) -> tuple[Project, str]:
        """A new project and its secret. Raises CliError if the name is taken or not usable."""
        if not name.strip() or len(name) > NAME_MAX or not name.isprintable():
            raise CliError(f"A project's name is 1 to {NAME_MAX} printable characters.")
        now_ms = int(time.time() * 1000)
        identity = project_id(now_ms, os.urandom(ENTROPY_BYTES))
        project = Project(identity, name, "active", now_ms, now_ms)
        secret = new_secret()
        sealed = SealedSecret(self.sealer.seal(secret, project_id=identity), None)
        try:
            await self.projects.create(project, sealed)
        except Conflict:
            raise CliError(f"There is a project {name!r} already; choose another name.") from None
        return project, secret

    async def find(self, name_or_id: str) -> Project:
        """The project. Raises CliError if there is none."""
        if project := await self.projects.find(name_or_id):
            return project
        raise CliError(
            f"There is no project {name_or_id!r}; list them with: contox-ingest project list"
        )

    async def secret(self, identity: str) -> str:
        """The project's current secret."""
        keys = await self.projects.keys(identity)
        assert keys is not None
        return self.sealer.open(keys.secrets[0].sealed, project_id=identity)

    async def rotate(self, identity: str, grace_s: int) -> Rotation:
        """A new secret; the old one verifies for `grace_s` seconds more."""
        now_ms = int(time.time() * 1000)
        expires_ms = now_ms + grace_s * 1000
        secret = new_secret()
        sealed = SealedSecret(self.sealer.seal(secret, project_id=identity), None)
        await self.projects.rotate(identity, sealed, now_ms=now_ms, old_expires_ms=expires_ms)
        return Rotation(secret, expires_ms, await self._announce(identity))

    async def _announce(self, identity: str) -> bool:
        """Tell the gateways. False: the queue is away; they learn it when their cache expires."""
        queue = open_queue(self.settings.redis_url)
        cache = KeyCache(queue, ttl_s=self.settings.keyring_ttl_s)
        try:
            await cache.announce(identity, await self.projects.keys(identity))
        except QUEUE_ERRORS:
            return False
        else:
            return True
        finally:
            await queue.aclose()


def new_secret() -> str:
    """A signing secret: 32 random bytes."""
    return "whsec_" + secrets.token_hex(32)


@asynccontextmanager
async def open_accounts(environ: Mapping[str, str]) -> AsyncIterator[Accounts]:
    """The store of projects that the environment names. Raises CliError, SettingError."""
    settings = read(environ)
    if settings.master_key is None:
        raise SettingError("CONTOX_MASTER_KEY is not set; it seals the projects' secrets.")
    engine = open_engine(settings.database_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        projects, sealer = SqlProjects(engine), Sealer(settings.master_key)
        await check_master_key(projects, sealer)
        yield Accounts(projects, sealer, settings)
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await engine.dispose()
