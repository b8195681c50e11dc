"""Sessions that are opened reach the store, also if it was away; beside the requests."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import Unavailable
from core.sessions import Session
from gateway import session_records as module
from gateway.session_records import SessionRecords
from runtime.background import end
from store.sessions import SqlSessions

SESSION = Session("sess_1", "proj_1", 1, updated_ms=1)


async def test_written(sqlite: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted is written; while the store is away it waits."""
    store = SqlSessions(sqlite)
    opened, failures = store.opened, 2

    async def fail_twice(sessions: list[Session]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable
        await opened(sessions)

    monkeypatch.setattr(store, "opened", fail_twice)
    records = SessionRecords(store)
    task = asyncio.create_task(records.run())
    records.note(SESSION)
    async with asyncio.timeout(10):
        while await store.get("sess_1") is None:
            await asyncio.sleep(0.01)
    await end(task)
    assert (await store.get("sess_1"), failures) == (SESSION, 0)


async def test_bounded(sqlite: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away for long, no more than a bound is kept."""
    monkeypatch.setattr(module, "DUE_MAX", 2)
    store = SqlSessions(sqlite)
    records = SessionRecords(store)
    for number in range(5):
        records.note(SESSION._replace(id=f"sess_{number}"))
    await records.write()
    assert [await store.get(f"sess_{n}") is not None for n in range(5)] == [True] * 2 + [False] * 3
