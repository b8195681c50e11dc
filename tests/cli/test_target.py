"""What options mean, as tables; chaos by a clock of the test's, on a target that takes notes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import target as module
from cli.errors import CliError
from cli.target import Chaos, Target, parse_parts, parse_seconds
from cli.throwaway import PARTS


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" , ", []),
        ("gateway", ["gateway"]),
        ("gateway,worker,redis", ["gateway", "worker", "redis"]),
        (" redis , worker ", ["redis", "worker"]),
    ],
)
def test_parts(text: str, parts: list[str]) -> None:
    """Parts are named with commas between them; none is no chaos."""
    assert parse_parts(text) == parts


@pytest.mark.parametrize("text", ["gatewai", "gateway;worker", "gateway,queue", "GATEWAY"])
def test_unknown_parts(text: str) -> None:
    """A part that there is not is named, with those that there are."""
    with pytest.raises(CliError, match=r"^--chaos: .+ is none of gateway, worker, redis\.$"):
        parse_parts(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("0.5s", 0.5), ("1.25", 1.25), ("120s", 120)]
)
def test_seconds(text: str, seconds: float) -> None:
    """Seconds are a number, with or without an s."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "0", "0s", "0.0", "-1", "1m", "5 s", "1e3", "nan", ".5"])
def test_no_seconds(text: str) -> None:
    """What is not a positive number of seconds is named."""
    with pytest.raises(CliError, match=r"^--every: .* is not a number of seconds, such as 5s\.$"):
        parse_seconds(text)


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))


class Victim:
    """Notes what is killed; says `there` of it."""

    def __init__(self, there: bool = True) -> None:
        self.killed: list[str] = []
        self._there = there

    def kill(self, part: str) -> bool:
        """Take note."""
        self.killed.append(part)
        return self._there


def struck(clock: Clock, chaos: Chaos, seconds: int, per_second: int = 4) -> None:
    """Let a load run so long, with so many looks at the clock a second."""
    for look in range(seconds * per_second):
        clock.now_s += 1 / per_second
        chaos.strike((look + 1) / per_second)


def test_strikes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is killed each time the interval is over, and the report says which and when."""
    clock, victim = Clock(monkeypatch), Victim()
    chaos = Chaos(victim.kill, "gateway,worker", "2s", seed=1)
    struck(clock, chaos, 21)
    assert len(victim.killed) == 10
    assert set(victim.killed) == {"gateway", "worker"}
    assert chaos.kills == [f"{p} at {2 * n:.1f} s" for n, p in enumerate(victim.killed, 1)]


def test_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed kills the same parts again, another seed others."""
    clock, killed = Clock(monkeypatch), []
    for seed in (1, 1, 2):
        victim = Victim()
        struck(clock, Chaos(victim.kill, ",".join(PARTS), "1s", seed), 30)
        killed.append(victim.killed)
    assert killed[0] == killed[1] != killed[2]
    assert set(killed[0]) == set(PARTS)


def test_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is killed before the load has begun, however long that takes."""
    clock, victim = Clock(monkeypatch), Victim()
    chaos = Chaos(victim.kill, "gateway", "1s", seed=0)
    clock.now_s += 60
    for elapsed_s in (-1.0, 0.0):
        chaos.strike(elapsed_s)
    assert victim.killed == []
    chaos.strike(0.1)
    assert victim.killed == ["gateway"]


def test_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that was not there to be killed is no kill, and its turn is over."""
    clock, victim = Clock(monkeypatch), Victim(there=False)
    chaos = Chaos(victim.kill, "gateway", "1s", seed=0)
    struck(clock, chaos, 3)
    assert (len(victim.killed), chaos.kills) == (3, [])


def test_no_chaos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without parts nothing is killed."""
    clock, victim = Clock(monkeypatch), Victim()
    struck(clock, Chaos(victim.kill, "", "1s", seed=0), 10)
    assert victim.killed == []


FAR = Target("http://gateway:8080", "proj_1", "whsec_test", None)


def test_store_of_a_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A gateway's store is what the options name, beside the settings of the environment."""
    monkeypatch.setenv("CONTOX_PARTITIONS", "4")
    url = f"sqlite:///{tmp_path}/x.db"
    environ = FAR.environ(url, "redis://10.0.0.1:6379/0")
    assert environ["CONTOX_DATABASE_URL"] == url
    assert environ["CONTOX_REDIS_URL"] == "redis://10.0.0.1:6379/0"
    assert environ["CONTOX_PARTITIONS"] == "4"
    assert "CONTOX_REDIS_URL" not in FAR.environ(url, None)


def test_store_that_nothing_names() -> None:
    """Without a database there is nothing to verify with, and one sentence says so."""
    with pytest.raises(CliError, match=r"--verify needs --database-url"):
        FAR.environ(None, "redis://10.0.0.1:6379/0")


def test_no_kill_far_away() -> None:
    """A gateway that is not the test's own is not hurt."""
    assert FAR.kill("gateway") is False
