"""Awaiting an append's receipt."""

import asyncio

import pytest

from core.errors import Reason, Unavailable
from core.testing import MemoryQueue
from gateway.receipts import Awaited, appended
from tests.contracts.event_queue import ENTRY


async def test_appended() -> None:
    """It gives the durability, or raises why there is none."""
    queue = MemoryQueue("fsynced")
    assert await appended(queue, ENTRY) == "fsynced"
    queue.failing = Unavailable(Reason.QUEUE_UNAVAILABLE)
    with pytest.raises(Unavailable):
        await appended(queue, ENTRY)


@pytest.mark.parametrize("tell", ["accepted", "refused"])
async def test_nobody_waits(tell: str) -> None:
    """A receipt that comes when its waiter has gone is no error."""
    receipt = Awaited()
    receipt.done.cancel()
    what = "memory" if tell == "accepted" else Unavailable(Reason.OVERLOADED)
    getattr(receipt, tell)(what)
    await asyncio.sleep(0)
    assert receipt.done.cancelled()
