"""Counting in windows, on a real queue."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from gateway.api import rate
from gateway.api.rate import RateLimit


async def test_window(queue: Redis) -> None:
    """So many are within the limit, further ones are told when the window ends, then it is new."""
    limit = RateLimit(queue, "x", amount=2, window_s=1)
    standings = [await limit.hit("ada") for _ in range(4)]
    assert [standing.remaining for standing in standings] == [1, 0, 0, 0]
    assert [standing.retry_after_s for standing in standings] == [None, None, 1, 1]
    assert all(0 <= standing.reset_s - time.time() < 2 for standing in standings)
    await asyncio.sleep(1.1)
    assert (await limit.hit("ada")).remaining == 1


async def test_at_once(queue: Redis) -> None:
    """Of many at once no more are within the limit."""
    limits = [RateLimit(queue, "x", amount=5, window_s=60) for _ in range(2)]
    standings = await asyncio.gather(*(limits[n % 2].hit("ada") for n in range(20)))
    assert sum(standing.retry_after_s is None for standing in standings) == 5


async def test_apart(queue: Redis) -> None:
    """Each name and each client has a count of its own, which expires, and can be forgotten."""
    one, two = (RateLimit(queue, name, amount=1, window_s=60) for name in ("a", "b"))
    for limit in (one, two):
        for who in ("ada", "bob", "2001:db8::/64"):
            assert (await limit.hit(who)).retry_after_s is None
    keys = await queue.keys("*")
    assert len(keys) == 6
    assert all([0 < await queue.ttl(key) <= 60 for key in keys])
    assert all(key.startswith(b"contox:limit") for key in keys)
    await one.forget("ada")
    assert (await one.hit("ada")).retry_after_s is None
    assert (await two.hit("ada")).retry_after_s is not None


async def test_flood(queue: Redis) -> None:
    """Whoever is far over the limit costs Redis next to nothing."""
    limit = RateLimit(queue, "x", amount=2, window_s=60)
    for _ in range(3):
        await limit.hit("ada")
    before = (await queue.info("stats"))["total_commands_processed"]
    standings = [await limit.hit("ada") for _ in range(500)]
    assert (await queue.info("stats"))["total_commands_processed"] - before < 20
    assert all(s.retry_after_s and 50 < s.retry_after_s <= 60 for s in standings)


async def test_remembered_clients_are_bounded(
    queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest clients are remembered."""
    monkeypatch.setattr(rate, "REMEMBERED_MAX", 3)
    limit = RateLimit(queue, "x", amount=1, window_s=60)
    for n in range(6):
        for _ in range(2):
            await limit.hit(str(n))
    assert list(limit._windows) == ["3", "4", "5"]


async def test_the_end_is_asked_once(queue: Redis) -> None:
    """A client costs Redis one question per request; all gateways say the same end."""
    one, two = (RateLimit(queue, "x", amount=500, window_s=60) for _ in range(2))
    ends = {(await limit.hit("ada")).reset_s for limit in (one, two)}
    before = (await queue.info("stats"))["total_commands_processed"]
    for _ in range(50):
        ends |= {(await limit.hit("ada")).reset_s for limit in (one, two)}
    # A script is a command, and so is each of its two at most.
    assert (await queue.info("stats"))["total_commands_processed"] - before <= 320
    assert max(ends) - min(ends) <= 1


async def test_over(queue: Redis) -> None:
    """Whoever was seen over the limit is known to be, without asking, until the window ends."""
    limit, other = (RateLimit(queue, "x", amount=1, window_s=1) for _ in range(2))
    waits_s = []
    for _ in range(3):
        waits_s.append(limit.over_s("ada"))
        await limit.hit("ada")
    assert (waits_s, limit.over_s("ada"), limit.over_s("bob")) == ([0, 0, 1], 1, 0)
    assert other.over_s("ada") == 0
    await asyncio.sleep(1.1)
    assert limit.over_s("ada") == 0


async def test_over_and_forgotten(queue: Redis) -> None:
    """Who is forgotten is not over any more."""
    limit = RateLimit(queue, "x", amount=1, window_s=60)
    for _ in range(2):
        await limit.hit("ada")
    assert 50 < limit.over_s("ada") <= 60
    await limit.forget("ada")
    assert limit.over_s("ada") == 0
