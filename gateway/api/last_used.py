"""When keys and secrets were last used, written beside the requests, at most once a minute.

A use is written at once, unless what is stored is of the last minute; the store, which other
processes write to as well, is what says that. So what is stored is never more than a minute behind,
in whatever process and after whatever crash, and there is nothing to be lost but what is on its
way.
"""

import asyncio
from collections.abc import Hashable, Mapping
from itertools import islice
from typing import Generic, Protocol, TypeVar

from core.errors import Refused, Unavailable
from runtime.background import write_when_due
from runtime.log import get_log

log = get_log()
APART_MS = 60_000
WAITING_MS = 1_000  # apart, too, are the uses that are noted while a write is under way
WRITE_MAX = 1_000  # at once
KEYS_MAX = 100_000  # that are remembered; the ones that were first written leave first
Name = TypeVar("Name", bound=Hashable)


class Uses(Protocol[Name]):
    """Where uses are written: core.users.ApiKeyStore or core.ports.ProjectStore."""

    async def used(self, times: Mapping[Name, int], *, apart_ms: int) -> dict[Name, int]:
        """Note when keys were last used; what is stored of them then."""


class LastUsed(Generic[Name]):
    """The uses that this process has seen. `run` must be running."""

    def __init__(self, store: Uses[Name]) -> None:
        self._store = store
        self._stored_ms: dict[Name, int] = {}
        self._writing: dict[Name, int] = {}
        self._due: dict[Name, int] = {}
        self._wake = asyncio.Event()

    def is_fresh(self, name: Name, now_ms: int) -> bool:
        """Whether a use now need not be noted."""
        if now_ms - self._stored_ms.get(name, -APART_MS) < APART_MS:
            return True
        waiting_ms = self._due.get(name) or self._writing.get(name)
        return waiting_ms is not None and now_ms - waiting_ms < WAITING_MS

    def note(self, name: Name, now_ms: int) -> None:
        """It is used. Never waits."""
        if not self.is_fresh(name, now_ms):
            self._due[name] = now_ms
            self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; what the store is away for is written when it is back."""
        await write_when_due(self._wake, self.write)

    async def write(self) -> bool:
        """Write what is due, or a part of it; False: it still is."""
        self._writing = {name: self._due.pop(name) for name in list(islice(self._due, WRITE_MAX))}
        try:
            stored = await self._store.used(self._writing, apart_ms=APART_MS)
        except (Unavailable, Refused) as error:
            log.warning("last use of keys not written", error=str(error))
            self._due = {**self._writing, **self._due}
            return False
        finally:
            writing, self._writing = self._writing, {}
        for name, at_ms in writing.items():
            self._remember(name, stored.get(name, at_ms))
        if self._due:
            self._wake.set()
        return True

    def _remember(self, name: Name, stored_ms: int) -> None:
        self._stored_ms.pop(name, None)
        while len(self._stored_ms) >= KEYS_MAX:
            del self._stored_ms[next(iter(self._stored_ms))]
        self._stored_ms[name] = stored_ms
