"""Projects deleted with their events: what a crash leaves is gone on with, and what is in flight
is waited for."""

import asyncio

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Unavailable
from core.event import Row
from core.ports import EventFilter, Project, SealedSecret
from core.testing import MemoryEvents, MemoryProjects
from gateway.api import deletions as module
from gateway.api.deletions import Deletions, delete_events
from gateway.api.project_changes import ProjectChanges
from gateway.key_cache import KeyCache
from runtime.background import end
from store.sealing import Sealer
from store.sessions import SqlSessions
from tests.gateway.conftest import until


class Deleting:
    """One project that is marked, one that is not, and a store of events."""

    def __init__(self, queue: Redis, sessions: SqlSessions) -> None:
        self.projects, self.events, self.queued = MemoryProjects(), MemoryEvents(), 0
        self.sessions = sessions
        self.asked = 0
        changes = ProjectChanges(self.projects, Sealer(bytes(32)), KeyCache(queue, ttl_s=30))
        self.deletions = Deletions(changes, self.events, sessions, self.in_flight)

    async def in_flight(self, _project: str) -> int:
        """How many are in the queue."""
        self.asked += 1
        return self.queued

    async def fill(self) -> None:
        """Make the projects and their events."""
        for number, status in ((1, "deleting"), (2, "active")):
            project = Project(f"proj_{number}", f"{number}", status, 1, 1)
            await self.projects.create(project, SealedSecret(b"", None))
            await self.add(f"proj_{number}", 25)

    async def add(self, project: str, count: int) -> None:
        """Store events."""
        at = len(self.events.rows)
        rows = [Row(project, f"evt_{at + n}", "sess_1", "a", "{}", None, n) for n in range(count)]
        await self.events.write(rows)

    def of(self, project: str) -> int:
        """How many events of a project are stored."""
        return sum(key[0] == project for key in self.events.rows)


@pytest.fixture
async def deleting(queue: Redis, sqlite: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Deleting:
    """What is to be deleted, in batches of ten."""
    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr(module, "DRAIN_POLL_S", 0.01)
    made = Deleting(queue, SqlSessions(sqlite))
    await made.fill()
    return made


async def gone(deleting: Deleting) -> None:
    """Run until the marked project is gone."""
    task = asyncio.create_task(deleting.deletions.run())
    await until(lambda: "proj_1" not in deleting.projects.projects)
    await end(task)


async def test_left_by_a_crash(deleting: Deleting) -> None:
    """A process that starts deletes what is marked, and nothing else."""
    await gone(deleting)
    assert (deleting.of("proj_1"), deleting.of("proj_2")) == (0, 25)
    assert list(deleting.projects.projects) == ["proj_2"]


async def test_in_flight(deleting: Deleting) -> None:
    """What is still in the queue is waited for, and deleted when it is stored."""
    deleting.queued = 5
    task = asyncio.create_task(deleting.deletions.run())
    await until(lambda: deleting.asked > 2)
    assert "proj_1" in deleting.projects.projects
    await deleting.add("proj_1", 5)
    deleting.queued = 0
    await until(lambda: "proj_1" not in deleting.projects.projects)
    await end(task)
    assert deleting.of("proj_1") == 0


async def test_many_stored_at_the_last_moment(
    deleting: Deleting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the worker has stored when the queue is found empty goes, too, in all its
    batches."""
    left = [5, 0]

    async def in_flight(project: str) -> int:
        await deleting.add(project, 45)
        return left.pop(0)

    monkeypatch.setattr(deleting.deletions, "_in_flight", in_flight)
    await gone(deleting)
    assert (left, deleting.of("proj_1"), deleting.of("proj_2")) == ([], 0, 25)


async def test_what_is_deleted_is_told(deleting: Deleting) -> None:
    """How many events are gone is told, and how many the queue holds still."""
    assert await delete_events(deleting.events, "proj_1", deleting.in_flight) == (25, 0)


async def test_in_flight_for_ever(deleting: Deleting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not come back holds a deletion up for a bounded time."""
    monkeypatch.setattr(module, "DRAIN_S", 0.1)
    deleting.queued = 5
    assert await delete_events(deleting.events, "proj_2", deleting.in_flight) == (25, 5)
    await gone(deleting)
    assert deleting.of("proj_1") == 0


async def test_store_away(deleting: Deleting, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away a deletion waits, and goes on when it is back."""
    delete, failures = deleting.events.delete, 2

    async def fail_twice(project_id: str, *, limit: int) -> int:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable
        return await delete(project_id, limit=limit)

    monkeypatch.setattr(deleting.events, "delete", fail_twice)
    await gone(deleting)
    assert (failures, deleting.of("proj_1")) == (0, 0)


async def test_not_marked(deleting: Deleting) -> None:
    """A project that is not marked is not deleted, even if that is started."""
    deleting.deletions.start("proj_2")
    deleting.deletions.start("proj_9")
    await gone(deleting)
    assert deleting.of("proj_2") == 25
    assert (await deleting.events.page(EventFilter("proj_2"), limit=1)).rows
