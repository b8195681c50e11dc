"""Connections that nobody uses are closed, and no others."""

import asyncio

import pytest

from gateway import keep_alive
from gateway.keep_alive import KeepAlive


async def test_closes_once_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks when the last request is long enough ago, and not before."""
    monkeypatch.setattr(keep_alive, "KEEP_ALIVE_S", 0.2)
    loop, closed = asyncio.get_running_loop(), asyncio.Event()
    begun_s = loop.time()
    alive = KeepAlive(loop, closed.set)
    alive.start()
    await asyncio.sleep(0.1)
    alive.since_s = loop.time()
    async with asyncio.timeout(10):
        await closed.wait()
    assert loop.time() - begun_s >= 0.3
    alive.end()


async def test_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its end it looks no more; before its start there is nothing to end."""
    monkeypatch.setattr(keep_alive, "KEEP_ALIVE_S", 0.01)
    closed: list[int] = []
    alive = KeepAlive(asyncio.get_running_loop(), lambda: closed.append(1))
    alive.end()
    alive.start()
    alive.end()
    await asyncio.sleep(0.05)
    assert closed == []
