"""Receipts of appends, between callbacks and coroutines."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from core.codec import Entry
from core.errors import Reason, Unavailable
from core.ports import Bundle, EventQueue, Receipt
from runtime.log import get_log

log = get_log()
BUG = "a request was not answered"


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


class Telling:
    """Tells receipts what has become of appends that are coroutines."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()  # a loop keeps none from being collected

    def start(self, append: Coroutine[Any, Any, str], receipt: Receipt) -> None:
        """Run an append; its receipt is told at its end."""
        task = asyncio.create_task(self._run(append, receipt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, append: Coroutine[Any, Any, str], receipt: Receipt) -> None:
        try:
            durability = await append
        except Unavailable as error:
            receipt.refused(error)
        else:
            receipt.accepted(durability)


def put_each(queue: EventQueue, bundle: Bundle) -> None:
    """Put a bundle's entries into the queue one by one."""
    for entry, receipt in bundle.each():
        try:
            queue.put(entry, receipt)
        except Unavailable as error:
            refuse(receipt, error)
        except Exception:  # of a receipt that `put` has told: a bug, and not the others' fault
            log.exception(BUG)


def refuse_each(bundle: Bundle, reason: Reason) -> None:
    """Tell all of a bundle's receipts that nothing of it is acknowledged."""
    for _, receipt in bundle.each():
        refuse(receipt, Unavailable(reason))  # an error of its own for each


def refuse(receipt: Receipt, error: Unavailable) -> None:
    """Tell a receipt; one that cannot be told is a bug, and not the others' fault."""
    try:
        receipt.refused(error)
    except Exception:  # the others are still waiting to be told
        log.exception(BUG)


async def appended(queue: EventQueue, entry: Entry) -> str:
    """Put an entry into the queue and wait: the durability it reached. Raises Unavailable."""
    receipt = Awaited()
    queue.put(entry, receipt)
    return await receipt.done
