"""A body of which a part has come counts, and is waited for so long at most."""

import asyncio

import pytest

from core.errors import NotAccepted, Reason
from core.head import Head
from core.metrics import Meter, Metric
from core.settings import read
from gateway.arriving import Arriving
from gateway.receiving import Receiving

PLAIN = Head(), 100


class Rig:
    """One, and what it is cut off with."""

    def __init__(self) -> None:
        self.meter = Meter("gateway")
        self.receiving = Receiving(read({}), self.meter)
        self.cuts: list[NotAccepted] = []
        self.arriving = Arriving(self.receiving, self.cuts.append)

    @property
    def counted(self) -> float:
        """Bytes that count as being received."""
        return self.meter.get(Metric.RECEIVING_BYTES)

    @property
    def reasons(self) -> list[Reason]:
        """Why it was cut off."""
        return [error.reason for error in self.cuts]


async def test_counts() -> None:
    """What is there counts once, until it is over; then it can wait for the next one."""
    rig = Rig()
    for size in (10, 10, 40):
        rig.arriving.wait(PLAIN, size)
        assert (rig.counted, rig.arriving.counted) == (size, size)
    rig.arriving.over()
    assert (rig.counted, rig.arriving.plain, rig.cuts) == (0, None, [])
    rig.arriving.wait(PLAIN, 5)
    assert rig.counted == 5
    rig.arriving.over()


async def test_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come is cut off; more of it does not make that later."""
    rig = Rig()
    monkeypatch.setattr(rig.receiving, "body_timeout_s", 0.05)
    rig.arriving.wait(PLAIN, 10)
    await asyncio.sleep(0.03)
    rig.arriving.wait(PLAIN, 20)
    assert rig.cuts == []
    await asyncio.sleep(0.04)
    assert rig.reasons == [Reason.REQUEST_TIMEOUT]
    assert (rig.counted, rig.arriving.plain) == (0, None)


async def test_one_that_is_over_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off that has been taken."""
    rig = Rig()
    monkeypatch.setattr(rig.receiving, "body_timeout_s", 0.01)
    rig.arriving.wait(PLAIN, 10)
    rig.arriving.over()
    await asyncio.sleep(0.03)
    assert rig.cuts == []


async def test_no_room() -> None:
    """Where all bodies together are too large, it is cut off, and nothing of it counts."""
    rig, others = Rig(), read({}).inflight_bytes_max - 50
    rig.receiving.take(others)
    rig.arriving.wait(PLAIN, 40)
    rig.arriving.wait(PLAIN, 60)
    assert rig.reasons == [Reason.OVERLOADED]
    assert rig.counted == others


async def test_stopping() -> None:
    """At the end all that arrive are cut off, and what begins to is at once."""
    rig = Rig()
    rig.arriving.wait(PLAIN, 10)
    rig.receiving.end()
    rig.arriving.wait(PLAIN, 10)
    assert rig.reasons == [Reason.SHUTTING_DOWN] * 2
    assert rig.counted == 0
