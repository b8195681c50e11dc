"""Projects made, rotated, deleted: in the store, then told to every gateway.

A change counts in each process once its keys are announced (gateway/key_cache.py). The announcement
raises one of QUEUE_ERRORS if the queue is away: then gateways learn of the change when what they
have cached expires, and asking for the same again announces it.
"""

import asyncio
import os
import secrets
import time
from typing import NamedTuple

from core.ids import ENTROPY_BYTES, project_id
from core.ports import EventFilter, EventStore, Project, ProjectStore, SealedSecret
from gateway.key_cache import KeyCache
from store.sealing import Sealer

NAME_MAX = 100  # characters
ACTIVE, DISABLED = "active", "disabled"
HEARD_S = 0.2  # for busy processes to read what was published, before anybody signs by it
DELETING = "deleting"  # with its events, which takes its time


class Rotation(NamedTuple):
    """What a rotation has done."""

    secret: str
    old_expires_ms: int
    old_last_used_ms: int | None


class ProjectChanges(NamedTuple):
    """The store of projects, with the means to seal and to announce."""

    projects: ProjectStore
    sealer: Sealer
    cache: KeyCache

    async def create(
        self,
        name: str,
        *,
        owner_id: str | None = None,
        description: str = "",
        visibility: str = "private",
    ) -> tuple[Project, str]:
        """A new project and its secret. Raises Conflict if its owner has one of this name."""
        now_ms = _now_ms()
        identity = project_id(now_ms, os.urandom(ENTROPY_BYTES))
        project = Project(identity, name, ACTIVE, now_ms, now_ms, owner_id, description, visibility)
        secret, sealed = self._new_secret(identity)
        await self.projects.create(project, sealed)
        return project, secret

    async def secret(self, identity: str) -> str | None:
        """The project's current secret; None if there is no such project."""
        keys = await self.projects.keys(identity)
        return keys and self.sealer.open(keys.secrets[0].sealed, project_id=identity)

    async def previous(self, identity: str) -> SealedSecret | None:
        """The newest of the secrets that verify for a while yet; None if there is none."""
        keys, now_ms = await self.projects.keys(identity), _now_ms()
        expiring = [s for s in (keys.secrets if keys else ()) if (s.expires_ms or 0) > now_ms]
        return expiring[0] if expiring else None

    async def rotate(self, identity: str, grace_s: int, events: EventStore) -> Rotation:
        """A new secret, not announced yet; the old one verifies for `grace_s` seconds more."""
        now_ms = _now_ms()
        expires_ms = now_ms + grace_s * 1000
        last_used_ms = await self._last_used_ms(identity, events)
        secret, sealed = self._new_secret(identity)
        await self.projects.rotate(
            identity,
            sealed,
            now_ms=now_ms,
            old_expires_ms=expires_ms,
            old_last_used_ms=last_used_ms,
        )
        return Rotation(secret, expires_ms, last_used_ms)

    async def set(self, identity: str, **changes: str) -> None:
        """Change columns of a project, and announce it. Raises Conflict."""
        await self.projects.update(identity, changes, now_ms=_now_ms())
        await self.announce(identity)

    async def delete(self, identity: str) -> None:
        """Forget a project, and announce that; what is signed with its secret is a 401 from now."""
        await self.projects.delete(identity)
        await self.announce(identity)

    async def announce(self, identity: str) -> None:
        """Tell every gateway what the store has; returns when each should have heard."""
        await self.cache.announce(identity, await self.projects.keys(identity))
        await asyncio.sleep(HEARD_S)

    async def _last_used_ms(self, identity: str, events: EventStore) -> int | None:
        """When the current secret was last used, as far as is known.

        While another verifies beside it, that is noted; else it has signed the newest event.
        """
        keys = await self.projects.keys(identity)
        noted_ms = keys.secrets[0].last_used_ms if keys else None
        if await self.previous(identity):
            return noted_ms
        page = await events.page(EventFilter(identity), limit=1)
        return max([row.received_ms for row in page.rows], default=noted_ms)

    def _new_secret(self, identity: str) -> tuple[str, SealedSecret]:
        secret = new_secret()
        return secret, SealedSecret(self.sealer.seal(secret, project_id=identity), None)


def new_secret() -> str:
    """A signing secret: 32 random bytes."""
    return "whsec_" + secrets.token_hex(32)


def is_name(text: str) -> bool:
    """Whether a project can be called that."""
    return bool(text.strip()) and len(text) <= NAME_MAX and text.isprintable()


def _now_ms() -> int:
    return int(time.time() * 1000)
