"""When keys were last used, written beside the requests, and at most once a minute per key.

A use is written at once, unless this process has written one of the same key within the last
minute; the store passes over what another process has written. So what is stored is never more than
a minute behind, a crash included, and there is nothing to be lost but what is on its way.
"""

import asyncio

from core.errors import Refused, Unavailable
from core.users import ApiKeyStore
from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
APART_MS = 60_000
KEYS_MAX = 100_000  # that are remembered; the ones that were first used leave first


class LastUsed:
    """The uses that this process has seen. `run` must be running."""

    def __init__(self, keys: ApiKeyStore) -> None:
        self._keys = keys
        self._written_ms: dict[str, int] = {}
        self._due: dict[str, int] = {}
        self._wake = asyncio.Event()

    def note(self, key_id: str, now_ms: int) -> None:
        """A key is used. Never waits."""
        if now_ms - self._written_ms.get(key_id, -APART_MS) < APART_MS:
            return
        self._written_ms.pop(key_id, None)
        while len(self._written_ms) >= KEYS_MAX:
            del self._written_ms[next(iter(self._written_ms))]
        self._written_ms[key_id] = now_ms
        self._due[key_id] = now_ms
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
            await self._keys.used(due, apart_ms=APART_MS)
        except (Unavailable, Refused) as error:
            log.warning("last use of keys not written", error=str(error))
            self._due = {**due, **self._due}
            return False
        return True
