"""What Redis keeps of keys and users: news overwrite it, loads only add to it."""

import asyncio

import pytest
from redis.asyncio import Redis

from core.errors import Unavailable
from core.testing import MemoryApiKeys, MemoryUsers
from core.users import ApiKey, User
from gateway.api import account_cache
from gateway.api.account_cache import Account, AccountCache, Holder, stamp_of

ADA = User("user_1", "ada@example.com", "$argon2id$1", "admin", "active", 1, 1)
KEY = ApiKey("key_1", "user_1", "one", bytes(32), "contox_sk_abcd", 1)
NAME = "contox:api-key:" + "00" * 32


@pytest.fixture
async def stores() -> tuple[MemoryUsers, MemoryApiKeys]:
    """A user with a key."""
    users = MemoryUsers()
    await users.create(ADA)
    keys = MemoryApiKeys(users)
    await keys.add(KEY)
    return users, keys


@pytest.fixture
def cache(queue: Redis, stores: tuple[MemoryUsers, MemoryApiKeys]) -> AccountCache:
    """The cache under test."""
    return AccountCache(queue, *stores)


async def test_holder(
    cache: AccountCache, stores: tuple[MemoryUsers, MemoryApiKeys], queue: Redis
) -> None:
    """A key is asked of the store once, and then of Redis until it expires there."""
    assert await cache.holder(KEY.sha256) == Holder("key_1", "user_1")
    stores[1].keys.clear()
    assert await cache.holder(KEY.sha256) == Holder("key_1", "user_1")
    assert 0 < await queue.ttl(NAME) <= account_cache.CACHED_S
    await queue.delete(NAME)
    assert await cache.holder(KEY.sha256) is None


async def test_nobody(cache: AccountCache, queue: Redis) -> None:
    """What does not exist is not kept: made-up keys cannot fill the memory."""
    assert await cache.holder(b"\xff" * 32) is None
    assert await cache.account("user_2") is None
    assert await queue.keys("contox:*") == []


async def test_key_of_nobody(
    queue: Redis, stores: tuple[MemoryUsers, MemoryApiKeys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of nobody is asked for once in a while, not with each request; so is a deleted one;
    what is remembered of them is bounded."""
    monkeypatch.setattr(account_cache, "UNKNOWN_MAX", 3)
    monkeypatch.setattr(account_cache, "UNKNOWN_S", 0.3)
    asked: list[bytes] = []
    by_digest = stores[1].by_digest

    async def count(sha256: bytes) -> ApiKey | None:
        asked.append(sha256)
        return await by_digest(sha256)

    monkeypatch.setattr(stores[1], "by_digest", count)
    cache = AccountCache(queue, *stores)
    for n in [0, 0, 1, 1, 2, 0, 3, 0]:
        assert await cache.holder(bytes([255, n])) is None
    assert [digest[1] for digest in asked] == [0, 1, 2, 3, 0]
    assert len(cache._unknown) == 3
    await cache.refuse(KEY.sha256)
    assert await cache.holder(KEY.sha256) is None
    assert KEY.sha256 in cache._unknown
    await asyncio.sleep(0.35)
    assert await cache.holder(bytes([255, 0])) is None
    assert len(asked) == 6


async def test_refused(cache: AccountCache, queue: Redis) -> None:
    """A refused key is so at once, though the store has it, and for longer than a load takes."""
    assert await cache.holder(KEY.sha256) is not None
    await cache.refuse(KEY.sha256)
    assert await cache.holder(KEY.sha256) is None
    longest_s = account_cache.LOAD_S + 2 * account_cache.ANSWER_S
    assert await queue.ttl(NAME) > 10 * longest_s
    assert longest_s * 5 < account_cache.CACHED_S


async def test_announced(cache: AccountCache, stores: tuple[MemoryUsers, MemoryApiKeys]) -> None:
    """A change that is announced counts at once; the password is known by its stamp only."""
    stamp = stamp_of(ADA.password_hash)
    assert await cache.account("user_1") == Account("ada@example.com", "admin", "active", stamp)
    await stores[0].set_status("user_1", "disabled", now_ms=2)
    await cache.announce(ADA._replace(status="disabled", password_hash="$other"))
    found = await cache.account("user_1")
    assert found is not None
    assert (found.is_active, found.stamp == stamp, len(found.stamp)) == (False, False, 16)


async def test_announced_late(cache: AccountCache) -> None:
    """Of two changes at once the later one stays, in whichever order they are announced."""
    await cache.announce(ADA._replace(status="disabled", updated_ms=5))
    await cache.announce(ADA._replace(password_hash="$other", updated_ms=4))
    found = await cache.account("user_1")
    assert found is not None
    assert not found.is_active


@pytest.mark.parametrize("what", ["key", "user"])
async def test_late_load(
    cache: AccountCache,
    stores: tuple[MemoryUsers, MemoryApiKeys],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A load that has read the store before a change takes what the change has put in place."""
    users, keys = stores
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slow(store: MemoryUsers | MemoryApiKeys, name: str) -> None:
        original = getattr(store, name)

        async def method(argument: object) -> object:
            found = await original(argument)
            read.set()
            await go_on.wait()
            return found

        monkeypatch.setattr(store, name, method)

    await slow(users, "find")
    await slow(keys, "by_digest")
    late = asyncio.create_task(
        cache.holder(KEY.sha256) if what == "key" else cache.account("user_1")
    )
    await read.wait()
    await cache.refuse(KEY.sha256)
    await cache.announce(ADA._replace(status="disabled"))
    go_on.set()
    found = await late
    assert found is None or (isinstance(found, Account) and not found.is_active)


async def test_slow_store(
    cache: AccountCache,
    stores: tuple[MemoryUsers, MemoryApiKeys],
    queue: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store that takes too long is one that is away, and nothing is kept of what it says."""
    monkeypatch.setattr(account_cache, "LOAD_S", 0.05)

    async def hang(_digest: bytes) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(stores[1], "by_digest", hang)
    with pytest.raises(Unavailable):
        await cache.holder(KEY.sha256)
    assert await queue.keys("contox:*") == []
