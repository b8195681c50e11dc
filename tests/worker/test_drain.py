"""The drain over a store that refuses chosen events and can be away."""

import asyncio

import pytest

from core.errors import Refused, Unavailable
from core.event import Row
from core.metrics import Meter, Metric
from core.testing import MemoryEvents
from tests.contracts.event_store import row
from worker.drain import Drain


class PickyEvents(MemoryEvents):
    """Refuses poison; is away for a number of writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.away = 0

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        self.writes += 1
        if self.away:
            self.away -= 1
            raise Unavailable
        if any(r.event == "poison" for r in rows):
            raise Refused("poison is forbidden")
        return await super().write(rows)


@pytest.fixture
def store() -> PickyEvents:
    """An empty store."""
    return PickyEvents()


@pytest.fixture
def meter() -> Meter:
    """The worker's counters."""
    return Meter("worker")


@pytest.fixture
async def drain(store: PickyEvents, meter: Meter) -> Drain:
    """The drain under test."""
    return Drain(store, meter, asyncio.Event())


def rows_with_poison(count: int, *poison: int) -> list[Row]:
    """`count` rows, poison at the indexes given."""
    return [row(n, event="poison" if n in poison else "saved") for n in range(count)]


async def test_one_write(drain: Drain, store: PickyEvents, meter: Meter) -> None:
    """A good batch is one write; what was there already is counted apart."""
    assert await drain.store(rows_with_poison(100)) == {}
    assert await drain.store(rows_with_poison(110)) == {}
    assert store.writes == 2
    assert meter.get(Metric.EVENTS_STORED) == 110
    assert meter.get(Metric.EVENTS_DUPLICATE) == 100


async def test_nothing(drain: Drain, store: PickyEvents) -> None:
    """No rows, no write."""
    assert await drain.store([]) == {}
    assert store.writes == 0


@pytest.mark.parametrize("poison", [(0,), (499,), (250,), (3, 4, 400), tuple(range(7))])
async def test_neighbours_are_stored(
    drain: Drain, store: PickyEvents, meter: Meter, poison: tuple[int, ...]
) -> None:
    """Exactly the refused events are given back, with the reason; all others are stored."""
    refused = await drain.store(rows_with_poison(500, *poison))
    assert refused == dict.fromkeys(poison, "poison is forbidden")
    assert len(store.rows) == 500 - len(poison)
    assert meter.get(Metric.EVENTS_STORED) == 500 - len(poison)
    assert store.writes <= 2 * 10 * len(poison)


async def test_all_poison(drain: Drain) -> None:
    """A batch of nothing but poison is given back whole."""
    assert len(await drain.store(rows_with_poison(4, 0, 1, 2, 3))) == 4


async def test_store_away(drain: Drain, store: PickyEvents, meter: Meter) -> None:
    """A store that is away is waited for; readiness says so meanwhile."""
    store.away = 3
    task = asyncio.create_task(drain.store(rows_with_poison(8, 5)))
    while not drain.away:
        await asyncio.sleep(0)
    assert await task == {5: "poison is forbidden"}
    assert drain.away == ""
    assert meter.get(Metric.STORE_FAILURES) == 3


async def test_stop_while_away(store: PickyEvents, meter: Meter) -> None:
    """A stop ends the waiting, with nothing said to be stored."""
    stop = asyncio.Event()
    drain = Drain(store, meter, stop)
    store.away = 1_000
    task = asyncio.create_task(drain.store(rows_with_poison(1)))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 5)
    assert meter.get(Metric.EVENTS_STORED) == 0
