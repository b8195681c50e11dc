"""The cache of sealed keys in a real queue, and the race between a change and a load."""

import asyncio
import signal
import time

import pytest
from redis.asyncio import Redis

from core.ports import ProjectKeys, SealedSecret
from gateway.key_cache import CHANNEL, KeyCache
from runtime.queue import open_queue
from tests.conftest import QueueServer

OLD = ProjectKeys("active", (SealedSecret(b"\x00old", None),), version=1_737_381_600_123)
NEW = ProjectKeys(
    "active",
    (SealedSecret(b"new\xff", None), SealedSecret(b"\x00old", 123)),
    version=1_737_381_600_124,
)


@pytest.fixture
def cache(queue: Redis) -> KeyCache:
    """An empty cache."""
    return KeyCache(queue, ttl_s=30)


@pytest.mark.parametrize("keys", [OLD, NEW, None], ids=["one", "two", "unknown"])
async def test_added_is_found(cache: KeyCache, keys: ProjectKeys | None) -> None:
    """What was added is found as it was; that a project does not exist is an answer too."""
    assert await cache.get("proj_1") == (False, None)
    assert await cache.add("proj_1", keys) == keys
    assert await cache.get("proj_1") == (True, keys)


async def test_expires(cache: KeyCache, queue: Redis) -> None:
    """Keys expire after the setting, unknown projects sooner."""
    await cache.add("proj_1", OLD)
    await cache.add("proj_2", None)
    assert 25 < await queue.ttl("contox:keys:proj_1") <= 30
    assert 0 < await queue.ttl("contox:keys:proj_2") <= 5


async def test_late_load_does_not_undo_a_change(cache: KeyCache) -> None:
    """A load that read the store before a change gets, and leaves, what the change put there."""
    await cache.announce("proj_1", NEW)
    assert await cache.add("proj_1", OLD) == NEW
    assert await cache.get("proj_1") == (True, NEW)


async def test_change_overwrites_and_is_told(cache: KeyCache, queue: Redis) -> None:
    """A change replaces what is cached and publishes the project's id."""
    await cache.add("proj_1", OLD)
    async with queue.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        await channel.get_message(timeout=1)
        await cache.announce("proj_1", NEW)
        message = await channel.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"1 proj_1"
    assert await cache.get("proj_1") == (True, NEW)


@pytest.mark.parametrize("newer", [NEW, None], ids=["changed", "deleted"])
async def test_earlier_change_announced_late(cache: KeyCache, newer: ProjectKeys | None) -> None:
    """Keys that were read before a later change do not replace that one's, nor undo a deletion."""
    await cache.announce("proj_1", newer)
    await cache.announce("proj_1", OLD)
    assert await cache.get("proj_1") == (True, newer)
    assert await cache.add("proj_1", OLD) == newer


async def test_announced_again(cache: KeyCache, queue: Redis) -> None:
    """The same change may be announced again, and what was unknown is replaced; both expire."""
    for before in (OLD, None):
        await cache.add("proj_1", before)
        await cache.announce("proj_1", OLD)
        assert await cache.get("proj_1") == (True, OLD)
        assert 25 < await queue.ttl("contox:keys:proj_1") <= 30
        await queue.delete("contox:keys:proj_1")


async def test_no_secret_in_clear(cache: KeyCache, queue: Redis) -> None:
    """Only sealed bytes are written."""
    await cache.add("proj_1", OLD)
    assert b"AG9sZA==" in await queue.get("contox:keys:proj_1")


async def test_stalled(own_queue_server: QueueServer) -> None:
    """A queue that does not answer costs a second, and no later lookup gets the late reply."""
    queue = open_queue(own_queue_server.url)
    cache = KeyCache(queue, ttl_s=30)
    await cache.add("proj_1", OLD)
    await cache.add("proj_2", NEW)
    assert own_queue_server._process is not None
    own_queue_server._process.send_signal(signal.SIGSTOP)
    before_s = time.monotonic()
    lookups = (cache.get("proj_1"), cache.get("proj_1"), cache.add("proj_3", OLD))
    results = await asyncio.gather(*lookups, return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError] * 3
    assert 0.9 < time.monotonic() - before_s < 2
    own_queue_server._process.send_signal(signal.SIGCONT)
    for _ in range(3):
        assert await cache.get("proj_2") == (True, NEW)
        assert await cache.get("proj_4") == (False, None)
    await queue.aclose()
