"""Tasks that wait, end and fail on a real loop."""

import asyncio
import contextlib

import pytest

from runtime import background as module
from runtime.background import Background, end, write_when_due


class Broken(Exception):
    """What a task fails with."""


async def fail(message: str = "") -> None:
    """A task that fails at once."""
    raise Broken(message)


@pytest.fixture
def stop() -> asyncio.Event:
    """The process's stop event."""
    return asyncio.Event()


@pytest.fixture
def background(stop: asyncio.Event) -> Background:
    """Without tasks yet."""
    return Background(stop)


async def test_runs_until_close(stop: asyncio.Event, background: Background) -> None:
    """A task runs beside its starter, and `close` cancels it and waits for its end."""
    steps: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    background.start(work())
    await begun.wait()
    await background.close()
    assert steps == ["cleaned up"]
    assert not stop.is_set()


async def test_failure(stop: asyncio.Event, background: Background) -> None:
    """A task that fails sets the stop event, and `close` raises what it failed with."""
    background.start(asyncio.Event().wait())
    background.start(fail("at once"))
    async with asyncio.timeout(10):
        await stop.wait()
    assert isinstance(background.failure, Broken)
    with pytest.raises(Broken, match="at once"):
        await background.close()


async def test_first_failure_counts(stop: asyncio.Event, background: Background) -> None:
    """When several fail, the first failure is the one that is raised."""
    second = asyncio.Event()

    async def fail_when_stopped() -> None:
        await stop.wait()
        second.set()
        await fail("second")

    background.start(fail_when_stopped())
    background.start(fail("first"))
    await second.wait()
    with pytest.raises(Broken, match="first"):
        await background.close()


async def test_failure_while_closing(stop: asyncio.Event, background: Background) -> None:
    """A task that fails when it is cancelled is not lost in silence."""
    begun = asyncio.Event()

    async def break_down() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await fail("cleaning up")

    background.start(break_down())
    await begun.wait()
    with pytest.raises(Broken, match="cleaning up"):
        await background.close()


async def test_cancellation_that_is_lost(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task in which a cancellation was lost is cancelled again."""
    monkeypatch.setattr(module, "CANCEL_S", 0.01)
    begun = asyncio.Event()

    async def lose_one() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    background.start(lose_one())
    await begun.wait()
    async with asyncio.timeout(10):
        await background.close()


async def test_end_is_no_failure(stop: asyncio.Event, background: Background) -> None:
    """A task that ends by itself stops nothing."""
    ended = asyncio.Event()

    async def come_to_an_end() -> None:
        ended.set()

    background.start(come_to_an_end())
    await ended.wait()
    await background.close()
    assert not stop.is_set()


async def test_nothing_started(background: Background) -> None:
    """Closing without tasks is nothing to do."""
    await background.close()


async def test_lost_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that loses a cancellation is cancelled again, and a failure is no surprise."""
    monkeypatch.setattr(module, "CANCEL_S", 0.01)

    async def lose_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        await asyncio.sleep(10)

    tasks = [asyncio.create_task(lose_one()), asyncio.create_task(fail("at once"))]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(*tasks), 5)
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), Broken)


async def test_write_when_due() -> None:
    """Something due is written once, and again until that succeeds; then nothing is until more is
    due."""
    due, results = asyncio.Event(), [False, True, True]
    written: list[int] = []

    async def write() -> bool:
        written.append(len(written))
        return results.pop(0)

    task = asyncio.create_task(write_when_due(due, write))
    await asyncio.sleep(0)
    assert written == []
    for count in (2, 3):
        due.set()
        async with asyncio.timeout(10):
            while len(written) < count:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(written) == count
    await end(task)
