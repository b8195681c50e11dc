"""Hashing: bounded, and the same work whether there is anything to compare with."""

import asyncio
import statistics
import threading
import time

import pytest

from core.errors import Unavailable
from gateway.api import passwords
from gateway.api.passwords import DECOY, Passwords, check_password, hash_of, new_password

TEXT = "correct horse battery staple"


async def test_match() -> None:
    """A password matches its own hash alone, and nothing matches the decoy."""
    hashing = Passwords()
    kept = hash_of(TEXT)
    assert await hashing.match(TEXT, kept)
    assert not await hashing.match(TEXT + " ", kept)
    assert not await hashing.match("", kept)
    assert not await hashing.match(TEXT, None)


def test_decoy_costs_the_same() -> None:
    """An unknown account costs as much processor time as a wrong password."""
    kept = hash_of(TEXT)
    assert DECOY.rpartition("$")[0].rpartition("$")[0] == kept.rpartition("$")[0].rpartition("$")[0]
    assert len(DECOY) == len(kept)
    times_s: dict[str, list[float]] = {kept: [], DECOY: []}
    for _ in range(9):
        for hashed, spent_s in times_s.items():
            started_s = time.thread_time()
            passwords._match("wrong", hashed)
            spent_s.append(time.thread_time() - started_s)
    real_s, decoy_s = (statistics.median(spent_s) for spent_s in times_s.values())
    assert 0.7 < real_s / decoy_s < 1.4


async def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are hashed at once, some wait, and further ones are asked to come again."""
    go_on, running, most = threading.Event(), 0, 0

    def slow(_password: str, _hash: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        go_on.wait(10)
        running -= 1
        return True

    monkeypatch.setattr(passwords, "_match", slow)
    monkeypatch.setattr(passwords, "WAITING_MAX", 6)
    hashing = Passwords()
    tasks = [asyncio.create_task(hashing.match("x", None)) for _ in range(6)]
    await asyncio.sleep(0.1)
    with pytest.raises(Unavailable):
        await hashing.match("x", None)
    go_on.set()
    assert await asyncio.gather(*tasks) == [True] * 6
    assert most == 2
    assert await hashing.match("x", None)


def test_new_password() -> None:
    """A password that is made passes the check, and is another each time."""
    made = {check_password(new_password()) for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize("text", ["", "x" * 11, "x" * 257, "x" * 11 + "\n", "x" * 11 + "\x00"])
def test_not_taken(text: str) -> None:
    """A password that is short, endless, or cannot be typed is not taken."""
    with pytest.raises(ValueError, match="must be 12 to 256 printable characters"):
        check_password(text)
