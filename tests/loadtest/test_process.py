"""A sending process as its parent starts it: spawned, told by a pipe, halted by an event."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from loadtest import process
from loadtest.measure import Bits, Snapshot
from loadtest.plan import Plan
from tests.loadtest.conftest import Serve, accept, plan_for, until

START_S = 1.5  # for the process to start and connect
WAIT_S = 30


class Child:
    """A sending process, and what it has told."""

    def __init__(self, plan: Plan, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.halt = context.Event()
        self._pipe, theirs = context.Pipe(duplex=False)
        self.start_s = time.perf_counter() + START_S
        arguments = (msgspec.json.encode(plan), number, self.start_s, theirs, self.halt)
        self.process: Any = context.Process(target=process.main, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.told: list[Snapshot] = []

    async def next(self) -> Snapshot:
        """The next thing it tells."""
        assert await asyncio.to_thread(self._pipe.poll, WAIT_S)
        self.told.append(msgspec.msgpack.decode(self._pipe.recv_bytes(), type=Snapshot))
        return self.told[-1]

    async def rest(self) -> Snapshot:
        """All it tells; returns the last. Waits for its end."""
        while not (await self.next()).last:
            pass
        await asyncio.to_thread(self.process.join, WAIT_S)
        return self.told[-1]

    def end(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self._pipe.close()


@pytest.fixture
async def children() -> AsyncIterator[list[Child]]:
    """Processes that end with the test."""
    started: list[Child] = []
    yield started
    for child in started:
        child.end()


async def test_shares(serve: Serve, children: list[Child]) -> None:
    """Two processes share rate and connections; each tells its counts, and at last what it made."""
    stub = await serve(accept)
    plan = plan_for(
        stub.port, processes=2, rate_s=200.0, duration_s=1.0, connections=6, verify=True
    )
    children += [Child(plan, 0), Child(plan, 1)]
    for number, child in enumerate(children):
        last = await child.rest()
        assert child.process.exitcode == 0
        assert {snapshot.process for snapshot in child.told} == {number}
        assert [snapshot.last for snapshot in child.told[:-1]] == [False] * (len(child.told) - 1)
        counts = last.counts
        assert (counts.offered, counts.accepted, counts.events, last.made) == (100, 100, 100, 100)
        assert [n in Bits(last.acknowledged) for n in (0, 99, 100)] == [True, True, False]
        assert len(child.told) >= 3, "it tells again and again"
        elapsed = [snapshot.elapsed_s for snapshot in child.told]
        assert elapsed == sorted(elapsed)
        assert elapsed[-1] > 0.9
        assert 0 < last.cpu_s < 20
    assert stub.opened == 6
    assert len(set(stub.requests)) == 200, "no event is sent by two processes"


async def test_halt(serve: Serve, children: list[Child]) -> None:
    """Ctrl-C is not a process's own to act on; the halt of its parent ends it, with a last word."""
    stub = await serve(accept)
    children.append(Child(plan_for(stub.port, rate_s=100.0, duration_s=60.0), 0))
    (child,) = children
    while not (await child.next()).counts.accepted:
        pass
    os.kill(child.process.pid, signal.SIGINT)
    before = child.told[-1].counts.accepted
    while (await child.next()).counts.accepted < before + 10:
        pass
    child.halt.set()
    last = await child.rest()
    assert child.process.exitcode == 0
    assert last.counts.accepted == last.counts.offered < 3_000
    assert last.acknowledged == b"", "without verification nothing is remembered"


async def test_hostile(serve: Serve, children: list[Child]) -> None:
    """The first process of a hostile run opens further connections; each counts wrong answers."""
    stub = await serve(accept)
    plan = plan_for(
        stub.port,
        profile="hostile",
        processes=2,
        connections=2,
        rate_s=100.0,
        duration_s=1.2,
        hostile_share=0.5,
    )
    children += [Child(plan, 0), Child(plan, 1)]
    for child in children:
        last = await child.rest()
        assert child.process.exitcode == 0
        assert sum(last.counts.wrong.values()) > 0, "the stub accepts what it must refuse"
        assert last.counts.offered == 60
    await until(lambda: not stub.open)
    assert stub.opened > 2


async def test_address() -> None:
    """Without a port the address is HTTP's; IPv6 addresses are known by their brackets."""
    for url, address in {
        "http://example.com": ("example.com", 80),
        "http://10.0.0.1:81/": ("10.0.0.1", 81),
        "http://[::1]:8080": ("::1", 8080),
    }.items():
        assert process._address(plan_for(url=url)) == address
