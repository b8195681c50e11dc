"""When keys and secrets were last used, written beside the requests, at most once a minute.

A use is written at once, unless this process has written one of the same key within the last
minute; the store passes over what another process has written. So what is stored is never more than
a minute behind, a crash included, and there is nothing to be lost but what is on its way.
"""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Generic, Protocol, TypeVar

from core.errors import Refused, Unavailable
from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
APART_MS = 60_000
KEYS_MAX = 100_000  # that are remembered; the ones that were first used leave first
Name = TypeVar("Name", bound=Hashable)


class Uses(Protocol[Name]):
    """Where uses are written: core.users.ApiKeyStore or core.ports.ProjectStore."""

    async def used(self, times: Mapping[Name, int], *, apart_ms: int) -> None:
        """Note when keys were last used."""


class LastUsed(Generic[Name]):
    """The uses that this process has seen. `run` must be running."""

    def __init__(self, store: Uses[Name]) -> None:
        self._store = store
        self._written_ms: dict[Name, int] = {}
        self._due: dict[Name, int] = {}
        self._wake = asyncio.Event()

    def is_fresh(self, name: Name, now_ms: int) -> bool:
        """Whether a use now need not be noted."""
        return now_ms - self._written_ms.get(name, -APART_MS) < APART_MS

    def note(self, name: Name, now_ms: int) -> None:
        """It is used. Never waits."""
        if self.is_fresh(name, now_ms):
            return
        self._written_ms.pop(name, None)
        while len(self._written_ms) >= KEYS_MAX:
            del self._written_ms[next(iter(self._written_ms))]
        self._written_ms[name] = now_ms
        self._due[name] = now_ms
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; what the store is away for is written when it is back."""
        backoff = Backoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self.write():
                backoff.reset()
            else:
                self._wake.set()
                await backoff.wait()

    async def write(self) -> bool:
        """Write what is due; False: it still is."""
        due, self._due = self._due, {}
        try:
            await self._store.used(due, apart_ms=APART_MS)
        except (Unavailable, Refused) as error:
            log.warning("last use of keys not written", error=str(error))
            self._due = {**due, **self._due}
            return False
        return True
