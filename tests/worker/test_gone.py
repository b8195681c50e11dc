"""Which consumers are removed from a group on a real queue, and which are not."""

import asyncio

import pytest
from redis.asyncio import Redis

from core.partitions import GROUP
from tests.worker.conftest import STREAM, append
from worker import gone as module
from worker.gone import remove_gone


async def names(queue: Redis) -> set[bytes]:
    """The consumers of the group."""
    return {consumer["name"] for consumer in await queue.xinfo_consumers(STREAM, GROUP)}


@pytest.fixture
async def group(queue: Redis) -> None:
    """A group in which `busy` has an entry in hand, and `me` and `gone` have none."""
    await append(queue, 1)
    await queue.xgroup_create(STREAM, GROUP, id="0")
    await queue.xreadgroup(GROUP, "busy", {STREAM: ">"}, count=1)
    for consumer in ("me", "gone"):
        await queue.xgroup_createconsumer(STREAM, GROUP, consumer)


@pytest.mark.usefixtures("group")
async def test_gone(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """One idle for long with nothing pending goes; one with an entry in hand, and oneself, stay."""
    monkeypatch.setattr(module, "IDLE_S_MIN", 0)
    await asyncio.sleep(0.01)
    assert await remove_gone(queue, STREAM, "me", 0) == [b"gone"]
    assert await names(queue) == {b"busy", b"me"}
    assert (await queue.xpending(STREAM, GROUP))["pending"] == 1


@pytest.mark.usefixtures("group")
async def test_not_for_long(queue: Redis) -> None:
    """One that has read within the last hour stays."""
    assert await remove_gone(queue, STREAM, "me", 1) == []
    assert await names(queue) == {b"busy", b"me", b"gone"}
