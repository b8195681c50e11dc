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
from tests.gateway.conftest import until

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


@pytest.mark.parametrize("restarts", [False, True])
async def test_over_processes(keys: MemoryApiKeys, restarts: bool) -> None:
    """However uses fall on two processes, or on ever new ones, what is stored is of the last
    minute, and is written once a minute at most."""
    uses, times, written = [LastUsed(keys), LastUsed(keys)], (0, 59, 61, 90, 118, 119, 178, 179), []
    for n, at_s in enumerate(times):
        used = LastUsed(keys) if restarts else uses[n % 2]
        now_ms = 1_000_000 + at_s * 1000
        used.note("key_1", now_ms)
        await used.write()
        last_ms = stored_ms(keys)
        assert last_ms is not None
        assert now_ms - last_ms < 60_000
        written.append((last_ms - 1_000_000) // 1000)
    assert written == [0, 0, 61, 61, 61, 61, 178, 178]


async def test_used_while_it_is_written(
    keys: MemoryApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A use that comes while the one before is on its way, slowly, and passed over, is written."""
    await keys.used({"key_1": 1_000_000}, apart_ms=1)
    used, go_on = keys.used, asyncio.Event()

    async def slow(times: dict[str, int], *, apart_ms: int) -> dict[str, int]:
        await go_on.wait()
        return await used(times, apart_ms=apart_ms)

    monkeypatch.setattr(keys, "used", slow)
    uses = LastUsed(keys)
    task = asyncio.create_task(uses.run())
    uses.note("key_1", 1_059_000)
    await asyncio.sleep(0.05)
    uses.note("key_1", 1_059_999)
    uses.note("key_1", 1_070_000)
    go_on.set()
    await until(lambda: stored_ms(keys) == 1_070_000)
    await end(task)


async def test_store_away(keys: MemoryApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is away uses wait, and are written when it is back."""
    used, failures = keys.used, 2

    async def fail_twice(times: dict[str, int], *, apart_ms: int) -> dict[str, int]:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable
        return await used(times, apart_ms=apart_ms)

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
    await uses.write()
    assert list(uses._stored_ms) == ["key_3", "key_4"]
    assert stored_ms(keys) == 1_000_001


async def test_many(keys: MemoryApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses of many keys are written in parts."""
    monkeypatch.setattr(last_used, "WRITE_MAX", 2)
    parts, used = [], keys.used

    async def count(times: dict[str, int], *, apart_ms: int) -> dict[str, int]:
        parts.append(len(times))
        return await used(times, apart_ms=apart_ms)

    monkeypatch.setattr(keys, "used", count)
    uses = LastUsed(keys)
    for n in range(5):
        uses.note(f"key_{n}", 1_000_000)
    task = asyncio.create_task(uses.run())
    await until(lambda: sum(parts) == 5)
    await end(task)
    assert parts == [2, 2, 1]


async def test_shown(people: People, ada: Person) -> None:
    """A key's last use is in the list soon after; one that was never used has none."""
    _, cookie = await people.sign_in("ada")
    assert (await people.ask("GET", "/api/keys", cookie)).json[0]["lastUsed"] is None
    await people.ask("GET", "/api/auth/me", ada.bearer)
    async with asyncio.timeout(10):
        while not (await people.ask("GET", "/api/keys", cookie)).json[0]["lastUsed"]:
            await asyncio.sleep(0.05)
