"""Keeping what is in hand: while a batch takes long, its entries are told to be worked on.

An entry that has been idle for CONTOX_CLAIM_IDLE_S is taken over by another worker. A store that
is away for an hour is no reason for that: the lease is renewed for as long as this worker lives.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from core.partitions import GROUP, stream_key
from runtime.background import end
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
RENEWALS = 3  # in the time after which entries may be taken over


class Lease:
    """Renews the idle time of one consumer's entries."""

    def __init__(self, queue: Redis, partition: int, *, name: str, claim_idle_s: float) -> None:
        self._queue = queue
        self._stream = stream_key(partition)
        self._name = name
        self._every_s = claim_idle_s / RENEWALS

    @asynccontextmanager
    async def on(self, entry_ids: list[bytes]) -> AsyncIterator[None]:
        """Renew these while the context lasts."""
        renewing = asyncio.create_task(self._run(entry_ids))
        try:
            yield
        finally:
            await end(renewing)

    async def _run(self, entry_ids: list[bytes]) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.renew(entry_ids)
            except QUEUE_ERRORS as error:  # it is tried again; and then somebody else may have them
                log.debug("lease not renewed", stream=self._stream, error=str(error))

    async def renew(self, entry_ids: list[bytes]) -> None:
        """Set the idle time of those that are still this consumer's to 0."""
        if own := await self._own(entry_ids):
            await self._queue.xclaim(self._stream, GROUP, self._name, 0, own, justid=True)

    async def release(self, entry_ids: list[bytes]) -> None:
        """Forget how often they were delivered: it was not their fault that they are not done."""
        if own := await self._own(entry_ids):
            await self._queue.xclaim(
                self._stream, GROUP, self._name, 0, own, retrycount=1, justid=True
            )

    async def _own(self, entry_ids: list[bytes]) -> list[Any]:
        """Those that are pending, and this consumer's."""
        if not entry_ids:
            return []
        pending: Any = await self._queue.xpending_range(
            self._stream,
            GROUP,
            min=min(entry_ids, key=position),
            max=max(entry_ids, key=position),
            count=len(entry_ids),
            consumername=self._name,
        )
        return [found["message_id"] for found in pending]


def position(entry_id: bytes) -> tuple[int, int]:
    """The place of an entry in its stream, from its id: ms "-" number."""
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
