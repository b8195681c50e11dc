"""What the keyring tells standings of."""

import pytest
from redis.asyncio import Redis

from core.metrics import Meter
from gateway.key_cache import KeyCache
from gateway.keyring import Keyring
from gateway.standings import Standings
from tests.gateway.test_keyring import DEMO, SEALER, CountedProjects, Time, sealed


async def test_unknown_by_now(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that expires and is unknown when it is looked up anew is told of as forgotten."""
    forgotten: list[str] = []
    projects, time, standings = CountedProjects(), Time(), Standings(1)
    await projects.create(DEMO, sealed("s"))
    monkeypatch.setattr(standings, "forget", forgotten.append)
    keyring = Keyring(
        cache=KeyCache(queue, ttl_s=30),
        projects=projects,
        sealer=SEALER,
        ttl_s=30,
        entries_max=100,
        meter=Meter("gateway"),
        standings=standings,
        clock=time,
    )
    await keyring.load("proj_1")
    time.now_s += 31
    await queue.flushall()
    await projects.delete("proj_1")
    assert (await keyring.load("proj_1")).status is None
    assert forgotten == ["proj_1"]
