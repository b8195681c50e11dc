"""How the worker's process ends: by a stop, by a bug, and with a batch that does not finish."""

import asyncio

import pytest

from worker import main as module
from worker.main import run_until_stopped


class Consumer:
    """Runs until a stop, for `late_s` seconds longer, and then fails with `bug`."""

    def __init__(self, stop: asyncio.Event, late_s: float = 0, bug: Exception | None = None):
        self.stop = stop
        self.late_s = late_s
        self.bug = bug
        self.finished = False

    async def run(self) -> None:
        """See worker.consumer.Consumer."""
        if self.bug:
            raise self.bug
        await self.stop.wait()
        await asyncio.sleep(self.late_s)
        self.finished = True


async def test_stop() -> None:
    """After a stop every consumer finishes what it has in hand."""
    stop = asyncio.Event()
    consumers = [Consumer(stop), Consumer(stop, late_s=0.05)]
    asyncio.get_running_loop().call_soon(stop.set)
    await run_until_stopped(consumers, stop)
    assert all(consumer.finished for consumer in consumers)


async def test_bug_ends_the_process() -> None:
    """A consumer that fails takes the others down in order, and its error out of the process."""
    stop = asyncio.Event()
    other = Consumer(stop)
    with pytest.raises(ZeroDivisionError):
        await run_until_stopped([other, Consumer(stop, bug=ZeroDivisionError())], stop)
    assert other.finished


async def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not finish in time is left pending, and the process ends."""
    monkeypatch.setattr(module, "FINISH_S", 0.05)
    stop = asyncio.Event()
    late = Consumer(stop, late_s=60)
    asyncio.get_running_loop().call_soon(stop.set)
    await asyncio.wait_for(run_until_stopped([late], stop), 5)
    assert not late.finished
