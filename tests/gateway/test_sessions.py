"""Sessions on a real queue: who opens one, who joins it, and when it ends."""

import asyncio
import signal
import time

import pytest
from redis.asyncio import Redis

from core.errors import Unavailable
from core.ids import time_ms_of
from gateway.sessions import SESSION_MS, Sessions
from runtime.queue import open_queue
from tests.conftest import QueueServer


def now_ms() -> int:
    """The time of the queue's server and ours."""
    return int(time.time() * 1000)


async def test_first_opens_others_join(queue: Redis) -> None:
    """The first event opens a session that begins now; other processes join the same one."""
    start = now_ms()
    session = await Sessions(queue, entries_max=10).join("proj_1", start)
    assert session.startswith("sess_")
    assert time_ms_of(session) == start
    assert await Sessions(queue, entries_max=10).join("proj_1", start + 5) == session


async def test_projects_apart(queue: Redis) -> None:
    """Each project has its own session."""
    sessions = Sessions(queue, entries_max=10)
    assert await sessions.join("proj_1", now_ms()) != await sessions.join("proj_2", now_ms())


async def test_four_hours_from_the_start(queue: Redis) -> None:
    """Joining later does not prolong a session: it ends four hours after it began."""
    early = now_ms() - SESSION_MS + 60_000
    session = await Sessions(queue, entries_max=10).join("proj_1", early)
    later = Sessions(queue, entries_max=10)
    assert await later.join("proj_1", now_ms()) == session
    assert later.cached("proj_1", early + SESSION_MS - 1) == session
    assert later.cached("proj_1", early + SESSION_MS) is None
    assert 0 < await queue.pttl("contox:session:proj_1") <= 60_000


async def test_ended_session(queue: Redis) -> None:
    """After the end a new session is opened."""
    old = await Sessions(queue, entries_max=10).join("proj_1", now_ms() - SESSION_MS - 1)
    assert await Sessions(queue, entries_max=10).join("proj_1", now_ms()) != old


async def test_memory_is_bounded(queue: Redis) -> None:
    """The oldest leave memory when it is full, and are found again in the queue."""
    sessions = Sessions(queue, entries_max=2)
    first = await sessions.join("proj_1", now_ms())
    for number in (2, 3):
        await sessions.join(f"proj_{number}", now_ms())
    assert sessions.cached("proj_1", now_ms()) is None
    assert await sessions.join("proj_1", now_ms()) == first


async def test_queue_away() -> None:
    """Without the queue no session can be agreed on: Unavailable."""
    queue = open_queue("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable):
        await Sessions(queue, entries_max=10).join("proj_1", now_ms())
    await queue.aclose()


async def test_asked_once(queue: Redis) -> None:
    """Five hundred requests at a session's start are one question, and get one answer."""
    before = (await queue.info("stats"))["total_commands_processed"]
    sessions = Sessions(queue, entries_max=10)
    joined = await asyncio.gather(*(sessions.join("proj_1", now_ms()) for _ in range(500)))
    after = (await queue.info("stats"))["total_commands_processed"]
    assert len(set(joined)) == 1
    assert after - before < 20


class Away:
    """Whether the queue is away, as its publisher would tell."""

    def __init__(self) -> None:
        self.now = True

    def __call__(self) -> bool:
        """What the sessions ask."""
        return self.now


async def test_provisional(queue: Redis) -> None:
    """While the queue is away a session is opened here, at once; when it is back it becomes the
    project's open one, for four hours from its start."""
    away = Away()
    sessions = Sessions(queue, entries_max=10, away=away)
    start = now_ms() - 60_000
    session = await sessions.join("proj_1", start)
    assert await queue.keys("contox:session:*") == []
    assert sessions.cached("proj_1", start + 1) == session
    assert time_ms_of(session) == start
    away.now = False
    assert sessions.cached("proj_1", start + 2) is None
    assert await sessions.join("proj_1", start + 2) == session
    assert sessions.cached("proj_1", start + 3) == session
    assert await Sessions(queue, entries_max=10).join("proj_1", now_ms()) == session
    assert SESSION_MS - 62_000 < await queue.pttl("contox:session:proj_1") <= SESSION_MS - 60_000


async def test_provisional_gives_way(queue: Redis) -> None:
    """If another gateway has opened a session meanwhile, that one counts from then on."""
    away = Away()
    sessions = Sessions(queue, entries_max=10, away=away)
    provisional = await sessions.join("proj_1", now_ms())
    opened = await Sessions(queue, entries_max=10).join("proj_1", now_ms())
    away.now = False
    assert opened != provisional
    assert await sessions.join("proj_1", now_ms()) == opened
    away.now = True
    assert sessions.cached("proj_1", now_ms()) == opened


async def test_provisional_ends(queue: Redis) -> None:
    """A provisional session ends after four hours like any other, and is not proposed then."""
    away = Away()
    sessions = Sessions(queue, entries_max=10, away=away)
    early = now_ms() - SESSION_MS
    old = await sessions.join("proj_1", early)
    assert sessions.cached("proj_1", early + SESSION_MS) is None
    new = await sessions.join("proj_1", early + SESSION_MS)
    away.now = False
    assert new != old
    assert await sessions.join("proj_1", early + SESSION_MS) == new


async def test_provisional_before_it_is_known(own_queue_server: QueueServer) -> None:
    """A queue that has just stalled delays a session by a second, and the id stays the same."""
    away = Away()
    away.now = False
    queue = open_queue(own_queue_server.url)
    sessions = Sessions(queue, entries_max=10, away=away)
    await sessions.join("proj_0", now_ms())
    assert own_queue_server._process is not None
    own_queue_server._process.send_signal(signal.SIGSTOP)
    before_s = time.monotonic()
    session = await sessions.join("proj_1", now_ms())
    assert 0.9 < time.monotonic() - before_s < 2
    waiting = asyncio.create_task(sessions.join("proj_2", now_ms()))
    await asyncio.sleep(0.1)
    away.now = True  # it is known while a question is under way: who comes now opens the session
    second = await sessions.join("proj_2", now_ms())
    assert await waiting == second == sessions.cached("proj_2", now_ms())
    away.now = False
    own_queue_server._process.send_signal(signal.SIGCONT)
    assert await sessions.join("proj_1", now_ms()) == session
    assert await Sessions(queue, entries_max=10).join("proj_1", now_ms()) == session
    await queue.aclose()
