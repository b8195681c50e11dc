"""Shared figures in real shared memory, processes included."""

import asyncio
import os

import pytest

from core.figures import to_bytes
from core.metrics import Figures, Meter, Metric
from runtime.figures import (
    ACTIVE_BYTES,
    FIGURES_BYTES_MAX,
    HALF,
    SharedFigures,
    Slots,
    retire,
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def of(figures: Figures, metric: Metric = Metric.BYTES_ACCEPTED) -> list[float]:
    """The values of a metric."""
    return [sample.value for sample in figures.samples(metric)]


def process(slots: Slots, number: int) -> tuple[Meter, SharedFigures]:
    """A process of a gateway: its meter, and what it shares."""
    meter = Meter("gateway")
    meter.set(Metric.PROCESSES, 1)
    return meter, SharedFigures("gateway", meter, slots, number)


def test_slot_round_trip() -> None:
    """A slot gives what was written last, and its age; before that it is empty."""
    clock = Clock()
    slots = Slots(2, clock)
    assert slots.read(1)[0] == b""
    for figures in (b"one", b"a longer one", b"", b"x" * FIGURES_BYTES_MAX):
        slots.write(1, figures)
        clock.now_s += 3
        assert slots.read(1) == (figures, 3.0)
    assert slots.read(0)[0] == b""


def test_too_large() -> None:
    """Figures that do not fit are refused; the last ones stay."""
    slots = Slots(1)
    slots.write(0, b"last")
    with pytest.raises(ValueError, match="bytes of figures are more than"):
        slots.write(0, b"x" * (FIGURES_BYTES_MAX + 1))
    assert slots.read(0)[0] == b"last"


def test_killed_while_writing() -> None:
    """A write that was cut short anywhere leaves the figures before it."""
    slots = Slots(1)
    slots.write(0, b"whole")
    other = ACTIVE_BYTES + (1 - slots._memory[0]) * (HALF.size + FIGURES_BYTES_MAX)
    slots._memory[other : other + 40] = b"\xff" * 40
    assert slots.read(0)[0] == b"whole"


def test_sum() -> None:
    """Any process shows the sum of all, its own up to now."""
    slots = Slots(2)
    (first, of_first), (second, of_second) = process(slots, 0), process(slots, 1)
    first.add(Metric.BYTES_ACCEPTED, 10)
    of_first.publish()
    second.add(Metric.BYTES_ACCEPTED, 5)
    assert of(of_second.now()) == [15]
    assert of(of_first.now()) == [15]
    assert of(of_first.now(), Metric.PROCESSES) == [2]


def test_never_backwards() -> None:
    """What one process has shown, another does not show less of, though it is asked at once."""
    slots = Slots(2)
    (first, of_first), (_, of_second) = process(slots, 0), process(slots, 1)
    of_first.publish()
    for amount in range(1, 20):
        first.add(Metric.BYTES_ACCEPTED, amount)
        assert of(of_first.now()) <= of(of_second.now())


def test_hung_process() -> None:
    """A process that no longer writes is shown as it was, and is not counted as answering."""
    clock = Clock()
    slots = Slots(2, clock)
    (_, of_first), (second, of_second) = process(slots, 0), process(slots, 1)
    second.add(Metric.BYTES_ACCEPTED, 5)
    second.set(Metric.CONNECTIONS, 7)
    of_second.publish()
    clock.now_s += 60
    page = of_first.now()
    assert (of(page), of(page, Metric.CONNECTIONS)) == ([5], [7])
    assert of(page, Metric.PROCESSES) == [1]


def test_restarted_process() -> None:
    """One that is gone leaves its counters and no gauge; its successor counts on from there."""
    slots = Slots(2)
    (_, of_first), (second, of_second) = process(slots, 0), process(slots, 1)
    second.add(Metric.BYTES_ACCEPTED, 5)
    second.observe(Metric.ADMISSION_SECONDS, 0.001)
    second.set(Metric.CONNECTIONS, 7)
    of_second.publish()
    retire("gateway", slots, 1)
    page = of_first.now()
    assert (of(page), of(page, Metric.CONNECTIONS), of(page, Metric.PROCESSES)) == ([5], [0], [1])
    successor, of_successor = process(slots, 1)
    assert of(of_first.now()) == [5]  # also before it has written anything
    successor.add(Metric.BYTES_ACCEPTED, 2)
    successor.observe(Metric.ADMISSION_SECONDS, 0.001)
    assert of(of_successor.now()) == [7]
    (admission,) = of_successor.now().samples(Metric.ADMISSION_SECONDS)
    assert sum(admission.buckets) == 2
    retire("gateway", slots, 1)
    assert of(of_first.now()) == [7]


async def test_run() -> None:
    """A process that runs shows itself without being asked."""
    slots = Slots(1)
    meter, figures = process(slots, 0)
    task = asyncio.create_task(figures.run())
    await asyncio.sleep(0.01)
    meter.add(Metric.BYTES_ACCEPTED, 1)
    async with asyncio.timeout(5):
        while slots.read(0)[0] != to_bytes(meter):
            await asyncio.sleep(0.02)
    task.cancel()


def test_forked() -> None:
    """What a forked process writes, its parent reads."""
    slots = Slots(2)
    if not (pid := os.fork()):
        meter, figures = process(slots, 1)
        meter.add(Metric.BYTES_ACCEPTED, 42)
        figures.publish()
        os._exit(0)
    os.waitpid(pid, 0)
    assert of(process(slots, 0)[1].now()) == [42]
