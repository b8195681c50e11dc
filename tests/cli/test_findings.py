"""How checks are run: one that fails, hangs or is forbidden is a finding, and the rest go on."""

import asyncio
from collections.abc import Iterable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from cli.findings import (
    Answer,
    Check,
    Status,
    broken,
    duration,
    examine,
    holds,
    redis_cli,
    size,
    skipped,
    some,
    unchecked,
    warning,
)
from core.errors import Unavailable
from core.settings import read


async def fine(part: str) -> Iterable[Answer]:
    """A check whose promise holds."""
    return holds(part)


async def two(_part: str) -> Iterable[Answer]:
    """A check with two answers."""
    return broken("a", "mend a", "mend") + warning("b", "mend b")


async def hang(_part: str) -> Iterable[Answer]:
    """A check that never ends."""
    await asyncio.sleep(3600)
    return []


def failing(error: Exception) -> Check[str]:
    """A check that raises."""

    async def fail(_part: str) -> Iterable[Answer]:
        raise error

    return Check("P", fail)


async def test_answers() -> None:
    """Each answer is a finding about its check's promise, in their order."""
    found = await examine("g", [Check("One", fine), Check("Two", two)], "x")
    assert [tuple(f) for f in found] == [
        ("g", "One", "holds", "x", "", ""),
        ("g", "Two", "broken", "a", "mend a", "mend"),
        ("g", "Two", "warning", "b", "mend b", ""),
    ]


async def test_hangs() -> None:
    """A check that hangs is not checked, after its time limit; the next one is."""
    checks = [Check("Slow", hang), Check("One", fine)]
    async with asyncio.timeout(2):
        found = await examine("g", checks, "x", timeout_s=0.1)
    assert [(f.status, f.found) for f in found] == [
        (Status.UNCHECKED, "no answer in time"),
        (Status.HOLDS, "x"),
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RedisConnectionError("Connection closed by server."), "Connection closed by server."),
        (
            Unavailable(sentence="The store failed: no such table"),
            "The store failed: no such table",
        ),
        (OSError(111, "refused"), "[Errno 111] refused"),
    ],
)
async def test_fails(error: Exception, told: str) -> None:
    """A check whose part goes away meanwhile is not checked, and says why."""
    (found,) = await examine("g", [failing(error)], "x")
    assert (found.status, found.found, found.change) == (Status.UNCHECKED, told, "")


async def test_forbidden() -> None:
    """A permission that is lacking is told with the way to give it."""
    (found,) = await examine("g", [failing(NoPermissionError("no permissions to run 'info'"))], "x")
    assert found.status is Status.UNCHECKED
    assert "no permissions to run 'info'" in found.found
    assert "ACL SETUSER" in found.change


async def test_bug() -> None:
    """A bug is not taken for a finding."""
    with pytest.raises(ZeroDivisionError):
        await examine("g", [failing(ZeroDivisionError())], "x")


def test_skipped() -> None:
    """Checks that cannot be run are listed with the reason."""
    found = skipped("g", [Check("One", fine), Check("Two", two)], "no queue")
    assert [(f.promise, f.status, f.found) for f in found] == [
        ("One", Status.UNCHECKED, "no queue"),
        ("Two", Status.UNCHECKED, "no queue"),
    ]
    assert unchecked("x", "y", "z") == [Answer(Status.UNCHECKED, "x", "y", "z")]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis-cli -u redis://h:1/0 PING"),
        ("redis://:secret@h:1/0", 'redis-cli -u "$CONTOX_REDIS_URL" PING'),
    ],
)
def test_redis_cli(url: str, shown: str) -> None:
    """A command names the queue, but never its password."""
    assert redis_cli(read({"CONTOX_REDIS_URL": url}), "PING") == shown


def test_words() -> None:
    """Sizes, times and counts are told in a person's units."""
    assert [size(n) for n in (12, 1536, 5 << 20, 3 << 30, 9 << 40)] == [
        "12 bytes",
        "1.5 KiB",
        "5.0 MiB",
        "3.0 GiB",
        "9.0 TiB",
    ]
    assert [duration(s) for s in (0.0004, 0.25, 90, 600, 9000)] == [
        "0 ms",
        "250 ms",
        "90.0 s",
        "10 min",
        "2.5 h",
    ]
    assert [some(1, "event"), some(1200, "event"), some(2, "entry", "entries")] == [
        "1 event",
        "1,200 events",
        "2 entries",
    ]
