"""The cache of sealed keys in a real queue, and the race between a change and a load."""

import pytest
from redis.asyncio import Redis

from core.ports import ProjectKeys, SealedSecret
from gateway.key_cache import CHANNEL, KeyCache

OLD = ProjectKeys("active", (SealedSecret(b"\x00old", None),))
NEW = ProjectKeys("active", (SealedSecret(b"new\xff", None), SealedSecret(b"\x00old", 123)))


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
    assert message["data"] == b"proj_1"
    assert await cache.get("proj_1") == (True, NEW)


async def test_no_secret_in_clear(cache: KeyCache, queue: Redis) -> None:
    """Only sealed bytes are written."""
    await cache.add("proj_1", OLD)
    assert b"AG9sZA==" in await queue.get("contox:keys:proj_1")
