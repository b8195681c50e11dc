"""Waiting for an append's receipt, for callers that are coroutines."""

import asyncio

from core.codec import Entry
from core.errors import Unavailable
from core.ports import EventQueue


class Awaited:
    """A Receipt whose `done` can be awaited; nobody may be waiting any more when it comes."""

    def __init__(self) -> None:
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        if not self.done.done():
            self.done.set_result(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        if not self.done.done():
            self.done.set_exception(error)


async def appended(queue: EventQueue, entry: Entry) -> str:
    """Put an entry into the queue and wait: the durability it reached. Raises Unavailable."""
    receipt = Awaited()
    queue.put(entry, receipt)
    return await receipt.done
