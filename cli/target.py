"""What a load test is aimed at: a gateway somewhere, or a stack of its own that may be hurt."""

import os
import re
import time
from collections.abc import Callable
from random import Random

from cli.errors import CliError
from cli.throwaway import PARTS, Throwaway


class Target:
    """A gateway, the credentials for it, and where it stores."""

    def __init__(self, url: str, project: str, secret: str, own: Throwaway | None) -> None:
        self.url = url
        self.project = project
        self.secret = secret
        self._own = own

    def environ(self, database_url: str | None, redis_url: str | None) -> dict[str, str]:
        """The settings that mean its store. Raises CliError if nothing says where that is."""
        if self._own is not None:
            return {**os.environ, **self._own.environ()}
        if database_url is None:
            raise CliError("--verify needs --database-url: where the gateway's events are stored.")
        environ = {**os.environ, "CONTOX_DATABASE_URL": database_url}
        return environ | ({"CONTOX_REDIS_URL": redis_url} if redis_url else {})

    def kill(self, part: str) -> bool:
        """SIGKILL a part of a stack of its own."""
        return self._own is not None and self._own.kill(part)


class Chaos:
    """Kills parts at random while a load runs, by a seed."""

    def __init__(self, kill: Callable[[str], bool], parts: str, every: str, seed: int) -> None:
        self._kill = kill
        self._parts = parse_parts(parts)
        self._every_s = parse_seconds(every)
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret
        self._next_s = time.monotonic() + self._every_s
        self.kills: list[str] = []

    def strike(self, elapsed_s: float) -> None:
        """Kill a part if it is time. `elapsed_s`: of the load, for the report."""
        if not self._parts or elapsed_s <= 0 or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._every_s
        part = self._random.choice(self._parts)
        if self._kill(part):
            self.kills.append(f"{part} at {elapsed_s:.1f} s")


def parse_parts(text: str) -> list[str]:
    """The parts named, separated by commas. Raises CliError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if unknown := set(parts) - set(PARTS):
        known = ", ".join(PARTS)
        raise CliError(f"--chaos: {', '.join(sorted(unknown))} is none of {known}.")
    return parts


def parse_seconds(text: str) -> float:
    """Seconds from "5", "5s" or "0.5s". Raises CliError."""
    if not re.fullmatch(r"\d+(\.\d+)?s?", text) or float(text.rstrip("s")) <= 0:
        raise CliError(f"--every: {text!r} is not a number of seconds, such as 5s.")
    return float(text.rstrip("s"))
