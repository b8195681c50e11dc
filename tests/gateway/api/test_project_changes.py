"""How projects are changed: secrets, names, and what is known of a secret's last use."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from core.event import Row
from core.ports import Project, ProjectKeys
from core.testing import MemoryEvents, MemoryProjects
from gateway.api.project_changes import ProjectChanges, is_name, new_secret
from gateway.key_cache import KeyCache
from store.sealing import Sealer


@pytest.fixture
def changes(queue: Redis) -> ProjectChanges:
    """An empty store of projects."""
    return ProjectChanges(MemoryProjects(), Sealer(bytes(32)), KeyCache(queue, ttl_s=30))


@pytest.fixture
async def project(changes: ProjectChanges) -> Project:
    """A project."""
    return (await changes.create("one"))[0]


def test_secrets() -> None:
    """A secret is 32 bytes of chance, written so that it is known for what it is."""
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(bytes.fromhex(secret.removeprefix("whsec_"))) for secret in secrets} == {32}


@pytest.mark.parametrize(("text", "is_one"), [("a", True), ("x" * 101, False), (" ", False)])
def test_names(text: str, is_one: bool) -> None:
    """A name is 1 to 100 printable characters, not all blank."""
    assert is_name(text) == is_one


async def test_secret(changes: ProjectChanges) -> None:
    """A new project's secret is told again; an unknown project has none."""
    project, secret = await changes.create("one")
    assert await changes.secret(project.id) == secret
    assert await changes.secret("proj_9") is None


async def test_previous(changes: ProjectChanges, project: Project) -> None:
    """The old secret is there until its grace has passed; a rotation without one leaves none."""
    events = MemoryEvents()
    assert await changes.previous(project.id) is None
    rotation = await changes.rotate(project.id, 60, events)
    previous = await changes.previous(project.id)
    assert previous is not None
    assert previous.expires_ms == rotation.old_expires_ms
    await changes.rotate(project.id, 0, events)
    assert await changes.previous(project.id) is None
    assert await changes.previous("proj_9") is None


async def test_last_used_of_the_only_secret(changes: ProjectChanges, project: Project) -> None:
    """The only secret has signed the newest event; a project without events tells nothing."""
    events = MemoryEvents()
    await events.write([Row(project.id, f"evt_{n}", "s", "a", "{}", None, n) for n in (5, 9, 7)])
    rotation = await changes.rotate(project.id, 60, events)
    assert rotation.old_last_used_ms == 9
    previous = await changes.previous(project.id)
    assert previous is not None
    assert previous.last_used_ms == 9
    other, _ = await changes.create("two")
    assert (await changes.rotate(other.id, 60, events)).old_last_used_ms is None


async def test_last_used_in_a_rotation(changes: ProjectChanges, project: Project) -> None:
    """While two secrets verify, what was noted of the current one counts, not the events."""
    events = MemoryEvents()
    await changes.rotate(project.id, 60, events)
    await events.write([Row(project.id, "evt_1", "s", "a", "{}", None, 9)])
    assert (await changes.rotate(project.id, 60, events)).old_last_used_ms is None
    keys = await changes.projects.keys(project.id)
    assert keys is not None
    now_ms = int(time.time() * 1000)
    await changes.projects.used({(project.id, keys.secrets[0].sealed): now_ms}, apart_ms=1)
    assert (await changes.rotate(project.id, 60, events)).old_last_used_ms == now_ms


async def test_announced(changes: ProjectChanges, project: Project, queue: Redis) -> None:
    """A change is in the cache of keys once it is done; so is a deletion."""
    cache = KeyCache(queue, ttl_s=30)
    await changes.set(project.id, status="disabled")
    found, keys = await cache.get(project.id)
    assert found
    assert keys is not None
    assert keys.status == "disabled"
    await changes.delete(project.id)
    assert await cache.get(project.id) == (True, None)


async def test_changes_at_once(
    changes: ProjectChanges, project: Project, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two changes at once both count, also if the earlier one is announced last."""
    keys, read, go_on = changes.projects.keys, asyncio.Event(), asyncio.Event()

    async def slow(identity: str) -> ProjectKeys | None:
        found = await keys(identity)
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(changes.projects, "keys", slow)
    early = asyncio.create_task(changes.set(project.id, description="what was read first"))
    await read.wait()
    monkeypatch.setattr(changes.projects, "keys", keys)
    await changes.set(project.id, status="disabled")
    await changes.rotate(project.id, 60, MemoryEvents())
    await changes.announce(project.id)
    go_on.set()
    await early
    found, cached = await KeyCache(queue, ttl_s=30).get(project.id)
    assert found
    assert cached is not None
    assert (cached.status, len(cached.secrets)) == ("disabled", 2)
