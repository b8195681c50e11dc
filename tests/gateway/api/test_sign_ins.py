"""Sign-ins in Redis: kept by digest, apart for each user, and ended for good."""

import pytest
from redis.asyncio import Redis

from core.settings import read
from gateway.api.sign_ins import SignIn, SignIns

SETTINGS = read({"CONTOX_SIGN_IN_IDLE_S": "60", "CONTOX_SIGN_IN_S_MAX": "600"})


async def test_token_is_kept_nowhere(queue: Redis) -> None:
    """Redis has a digest of the token, from which nobody can make the cookie."""
    sign_ins = SignIns(queue, SETTINGS)
    token = await sign_ins.open("user_1", "stamp")
    assert await sign_ins.find(token) == SignIn("user_1", "stamp")
    (name,) = await queue.keys("*")
    assert token.encode() not in name + (await queue.get(name) or b"")
    assert await sign_ins.find(name.decode().rpartition(":")[2]) is None


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 42 + "*", "A" * 1000, "\x00" * 43])
async def test_unknown(queue: Redis, token: str) -> None:
    """What was never given is nobody's."""
    assert await SignIns(queue, SETTINGS).find(token) is None


async def test_last_day(queue: Redis) -> None:
    """However often it is used, a sign-in ends."""
    now_s = 1_000_000.0
    sign_ins = SignIns(queue, SETTINGS, clock=lambda: now_s)
    token = await sign_ins.open("user_1", "stamp")
    for _ in range(20):
        now_s += 29.99
        assert await sign_ins.find(token) is not None
    now_s += 0.5
    assert await sign_ins.find(token) is None


async def test_idle(queue: Redis) -> None:
    """Each use puts off the end of one that is idle."""
    sign_ins = SignIns(queue, SETTINGS)
    token = await sign_ins.open("user_1", "stamp")
    (name,) = await queue.keys("*")
    assert 50 < await queue.ttl(name) <= 60
    await queue.expire(name, 5)
    await sign_ins.find(token)
    assert await queue.ttl(name) > 50


async def test_eras(queue: Redis) -> None:
    """Signing out everywhere ends what was before, not what comes after; twice is as once."""
    sign_ins = SignIns(queue, SETTINGS)
    of_two = await sign_ins.open("user_2", "stamp")
    tokens = []
    for _ in range(3):
        tokens.append(await sign_ins.open("user_1", "stamp"))
        assert await sign_ins.find(tokens[-1]) is not None
        await sign_ins.close_all("user_1")
        for token in tokens:
            assert await sign_ins.find(token) is None
    assert await sign_ins.find(of_two) is not None


async def test_era_outlives_its_sign_ins(queue: Redis) -> None:
    """An era is kept for longer than any sign-in of it: it must not expire before."""
    sign_ins = SignIns(queue, SETTINGS)
    await sign_ins.close_all("user_1")
    await queue.expire("contox:sign-out:user_1", 5)
    await sign_ins.open("user_1", "stamp")
    assert await queue.ttl("contox:sign-out:user_1") > 600


async def test_close(queue: Redis) -> None:
    """A sign-in that is closed is gone; closing it again is nothing."""
    sign_ins = SignIns(queue, SETTINGS)
    token = await sign_ins.open("user_1", "stamp")
    for _ in range(2):
        await sign_ins.close(token)
        assert await sign_ins.find(token) is None
