"""Awaiting an append's receipt."""

import asyncio

import pytest

from core.errors import Reason, Unavailable
from core.testing import MemoryQueue
from gateway.receipts import Awaited, appended, put_each, refuse_each
from tests.contracts.event_queue import ENTRY, Bundled, Noted


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


class Broken(Noted):
    """A Receipt with a bug."""

    def refused(self, error: Unavailable) -> None:
        """Breaks its promise."""
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("way", ["put", "refuse"])
def test_one_that_cannot_be_told(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A receipt of a bundle that raises keeps no other from being told, and none is told twice."""
    queue, bundle = MemoryQueue("memory"), Bundled([ENTRY] * 3)
    queue.failing = Unavailable(Reason.QUEUE_UNAVAILABLE)
    bundle.ones[1] = (ENTRY, Broken())
    if way == "put":
        put_each(queue, bundle)
    else:
        refuse_each(bundle, Reason.QUEUE_UNAVAILABLE)
    told = [noted.told for _, noted in bundle.ones]
    reasons = [[error.reason for error in each if isinstance(error, Unavailable)] for each in told]
    assert reasons == [[Reason.QUEUE_UNAVAILABLE], [], [Reason.QUEUE_UNAVAILABLE]]
    assert "a bug" in "".join(capsys.readouterr())
