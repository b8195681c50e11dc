"""When a key was last used: off the path, once a minute at most, and at most a minute behind."""

import asyncio

import pytest

from core.errors import Unavailable
from core.testing import MemoryApiKeys, MemoryUsers
from core.users import ApiKey, User
from gateway.api import last_used
from gateway.api.last_used import LastUsed
from runtime.background import end
from tests.gateway.api.conftest import People, Person

KEY = ApiKey("key_1", "user_1", "one", bytes(32), "contox_sk_abcd", 1)


@pytest.fixture
async def keys() -> MemoryApiKeys:
    """A store with one key."""
    users = MemoryUsers()
    await users.create(User("user_1", "a@b", "$", "member", "active", 1, 1))
    keys = MemoryApiKeys(users)
    await keys.add(KEY)
    return keys


def stored_ms(keys: MemoryApiKeys) -> int | None:
    """What the store has."""
    return keys.keys["key_1"].last_used_ms


async def test_once_a_minute(keys: MemoryApiKeys) -> None:
    """The first use is written, the next one that is a minute later, and none between."""
    uses, times = LastUsed(keys), []
    for now_ms in range(1_000_000, 1_240_000, 7_000):
        uses.note("key_1", now_ms)
        await uses.write()
        last_ms = stored_ms(keys)
        assert last_ms is not None
        assert 0 <= now_ms - last_ms < 60_000  # what a crash here would leave
        times.append(last_ms)
    assert sorted(set(times)) == [1_000_000, 1_063_000, 1_126_000, 1_189_000]


async def test_over_processes(keys: MemoryApiKeys) -> None:
    """What another process has written within the minute is not written again."""
    one, two = LastUsed(keys), LastUsed(keys)
    one.note("key_1", 1_000_000)
    await one.write()
    two.note("key_1", 1_059_999)
    await two.write()
    assert stored_ms(keys) == 1_000_000
    one.note("key_1", 1_060_000)
    await one.write()
    assert stored_ms(keys) == 1_060_000


async def test_store_away(keys: MemoryApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away uses wait, and are written when it is back."""
    used, failures = keys.used, 2

    async def fail_twice(times: dict[str, int], *, apart_ms: int) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable
        await used(times, apart_ms=apart_ms)

    monkeypatch.setattr(keys, "used", fail_twice)
    uses = LastUsed(keys)
    task = asyncio.create_task(uses.run())
    uses.note("key_1", 1_000_000)
    async with asyncio.timeout(10):
        while stored_ms(keys) is None:
            await asyncio.sleep(0.01)
    await end(task)
    assert failures == 0


async def test_bounded(keys: MemoryApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of keys is bounded; a key that was pushed out is written once more."""
    monkeypatch.setattr(last_used, "KEYS_MAX", 2)
    uses = LastUsed(keys)
    for n in range(5):
        uses.note(f"key_{n}", 1_000_000 + n)
    assert list(uses._written_ms) == ["key_3", "key_4"]
    await uses.write()
    assert stored_ms(keys) == 1_000_001


async def test_shown(people: People, ada: Person) -> None:
    """A key's last use is in the list soon after; one that was never used has none."""
    _, cookie = await people.sign_in("ada")
    assert (await people.ask("GET", "/api/keys", cookie)).json[0]["lastUsed"] is None
    await people.ask("GET", "/api/auth/me", ada.bearer)
    async with asyncio.timeout(10):
        while not (await people.ask("GET", "/api/keys", cookie)).json[0]["lastUsed"]:
            await asyncio.sleep(0.05)
