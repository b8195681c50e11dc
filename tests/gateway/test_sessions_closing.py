"""A session that is closed takes no more events, in this and every other process."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from core.ids import session_id
from core.sessions import Session
from gateway.sessions import CHANNEL, Sessions
from runtime.background import end
from tests.gateway.conftest import until
from tests.gateway.test_sessions import Away, now_ms


@pytest.fixture
async def others(queue: Redis) -> AsyncIterator[list[Sessions]]:
    """The sessions of two processes, which listen."""
    sessions = [Sessions(queue, entries_max=10) for _ in range(2)]
    tasks = [asyncio.create_task(each.follow()) for each in sessions]
    await until(lambda: all(each._forgotten for each in sessions))
    yield sessions
    await end(*tasks)


async def test_everywhere(queue: Redis, others: list[Sessions]) -> None:
    """All processes forget a session that is closed, at once, and no other one."""
    closed = await others[0].join("proj_1", now_ms())
    for each in others:
        await each.join("proj_1", now_ms())
        await each.join("proj_2", now_ms())
    others[0]._news.number = others[1]._news.number = int(await queue.get(CHANNEL) or 0)
    started_s = time.monotonic()
    await others[0].close("proj_1", closed)
    await until(lambda: not any(each.cached("proj_1", now_ms()) for each in others))
    assert time.monotonic() - started_s < 0.5
    assert all(each.cached("proj_2", now_ms()) for each in others)
    new = await others[1].join("proj_1", now_ms())
    assert new != closed
    assert await others[0].join("proj_1", now_ms()) == new


async def test_missed(queue: Redis, others: list[Sessions]) -> None:
    """A closing whose message was lost is noticed within a second."""
    closed = await others[1].join("proj_1", now_ms())
    await until(lambda: others[1]._news.number is not None)
    await queue.delete("contox:session:proj_1")
    await queue.incr(CHANNEL)  # and nothing is published
    async with asyncio.timeout(1):
        while others[1].cached("proj_1", now_ms()):
            await asyncio.sleep(0.01)
    assert await others[1].join("proj_1", now_ms()) != closed


async def test_missed_before_one_that_is_heard(queue: Redis, others: list[Sessions]) -> None:
    """A message that comes after a lost one says so by its number: all is forgotten."""
    for name in ("proj_1", "proj_2"):
        await others[0].join(name, now_ms())
    await until(lambda: others[0]._news.number is not None)
    await queue.incr(CHANNEL)
    await others[1].close("proj_2", "sess_x")
    await until(lambda: others[0].cached("proj_1", now_ms()) is None)


async def test_another_is_open(queue: Redis, others: list[Sessions]) -> None:
    """Closing a session that is not the open one leaves that one open."""
    current = await others[0].join("proj_1", now_ms())
    await others[1].close("proj_1", session_id(1, bytes(10)))
    assert await Sessions(queue, entries_max=10).join("proj_1", now_ms()) == current


async def test_replaced(queue: Redis, others: list[Sessions]) -> None:
    """A session that is opened in another's place is the one that all join."""
    old = await others[0].join("proj_1", now_ms())
    new = session_id(now_ms(), b"x" * 10)
    await others[1].replace("proj_1", new)
    await until(lambda: others[0].cached("proj_1", now_ms()) is None)
    assert await others[0].join("proj_1", now_ms()) == new != old
    assert await others[0].current(["proj_1", "proj_9"]) == {new: "proj_1"}
    assert await others[0].current([]) == {}


async def test_closed_while_asked(queue: Redis) -> None:
    """What a question brings that was under way at a closing is not kept, nor joined later."""
    sessions = Sessions(queue, entries_max=10)
    await Sessions(queue, entries_max=10).join("proj_1", now_ms())
    early = asyncio.create_task(sessions.join("proj_1", now_ms()))
    await asyncio.sleep(0)
    sessions._heard("proj_1 sess_x")
    late = asyncio.create_task(sessions.join("proj_1", now_ms()))
    await asyncio.sleep(0)
    assert sessions._asking["proj_1"] is not early
    await early
    await late
    assert sessions.cached("proj_1", now_ms()) is not None


async def test_told_when_opened(queue: Redis) -> None:
    """Who opens a session tells of it once; who joins one does not."""
    told: list[Session] = []
    start = now_ms()
    one = Sessions(queue, entries_max=10, opened=told.append)
    session = await one.join("proj_1", start)
    await Sessions(queue, entries_max=10, opened=told.append).join("proj_1", start)
    await one.join("proj_1", start)
    assert told == [Session(session, "proj_1", start, updated_ms=start)]


async def test_provisional(queue: Redis) -> None:
    """A provisional session outlives what may have been missed, but not its own closing."""
    away = Away()
    sessions = Sessions(queue, entries_max=10, away=away)
    session = await sessions.join("proj_1", now_ms())
    sessions._missed()
    assert sessions.cached("proj_1", now_ms()) == session
    sessions._heard("proj_1 sess_x")
    assert sessions.cached("proj_1", now_ms()) == session
    sessions._heard(f"proj_1 {session}")
    assert sessions.cached("proj_1", now_ms()) is None
