"""What the doctor finds: promises, whether they hold, and how a group of checks is run.

A check is a function that returns answers to one promise. It may raise what its part raises when it
cannot be reached or does not allow it: that is an answer, too. No check runs without a time limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from redis.exceptions import NoPermissionError, RedisError

from core.errors import Unavailable
from core.settings import SettingError, Settings, mask_url
from store.engine import Errors, first_line, store_away

CHECK_TIMEOUT_S = 10
Part = TypeVar("Part")


class Status(StrEnum):
    """How a promise stands."""

    HOLDS = "holds"
    WARNING = "warning"
    BROKEN = "broken"
    UNCHECKED = "unchecked"


class Answer(NamedTuple):
    """What a check has found of its promise."""

    status: Status
    found: str
    change: str = ""  # a sentence; empty if there is nothing to change
    command: str = ""  # what to run for it, in a shell


class Check(NamedTuple, Generic[Part]):
    """One promise, and how it is checked on a part that has been reached."""

    promise: str
    run: Callable[[Part], Awaitable[Iterable[Answer]]]


class Finding(NamedTuple):
    """An answer, with the promise that it is about."""

    group: str
    promise: str
    status: Status
    found: str
    change: str
    command: str


def holds(found: str) -> list[Answer]:
    """The promise holds."""
    return [Answer(Status.HOLDS, found)]


def warning(found: str, change: str, command: str = "") -> list[Answer]:
    """The promise holds, but may soon not."""
    return [Answer(Status.WARNING, found, change, command)]


def broken(found: str, change: str, command: str = "") -> list[Answer]:
    """The promise does not hold."""
    return [Answer(Status.BROKEN, found, change, command)]


def unchecked(found: str, change: str = "", command: str = "") -> list[Answer]:
    """Whether the promise holds cannot be told."""
    return [Answer(Status.UNCHECKED, found, change, command)]


async def examine(
    group: str, checks: Sequence[Check[Part]], part: Part, timeout_s: float = CHECK_TIMEOUT_S
) -> list[Finding]:
    """Run checks one after another; one that fails is not checked, and says why."""
    findings = []
    for check in checks:
        try:
            async with asyncio.timeout(timeout_s):
                answers = list(await check.run(part))
        except NoPermissionError as error:
            answers = _not_allowed(str(error))
        except check_errors() as error:
            answers = unchecked(why(error))
        findings += [Finding(group, check.promise, *answer) for answer in answers]
    return findings


def check_errors() -> Errors:
    """What a check may fail with: it has no answer then."""
    return (RedisError, Unavailable, SettingError, *store_away())


def why(error: BaseException) -> str:
    """What went wrong, on one line."""
    return first_line(error) if str(error) else "no answer in time"


def skipped(group: str, checks: Sequence[Check[Part]], why: str) -> list[Finding]:
    """The findings of checks that could not be run."""
    return [Finding(group, check.promise, *unchecked(why)[0]) for check in checks]


def _not_allowed(error: str) -> list[Answer]:
    """The queue's user lacks a permission; its words name the command, or the keys."""
    return unchecked(
        f"the queue's user is not allowed to: {error}",
        "Allow the queue's user the command: ACL SETUSER USER +COMMAND",
    )


def redis_cli(settings: Settings, command: str) -> str:
    """A shell command that runs `command` on the queue; it shows no password."""
    url = settings.redis_url
    shown = url if mask_url(url) == url else '"$CONTOX_REDIS_URL"'
    return f"redis-cli -u {shown} {command}"


def size(count: float) -> str:
    """Bytes, for a person."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def duration(seconds: float) -> str:
    """A time, for a person."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def some(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if abs(count) == 1 else many or one + 's'}"
