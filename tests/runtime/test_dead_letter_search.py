"""The dead letter of an event, among many, on a real queue."""

import pytest
from redis.asyncio import Redis

from core.dead_letter import of_entry, of_event
from core.event import Row
from core.partitions import dead_letter_key, partition_of
from runtime import dead_letter_search as module
from runtime.dead_letter_search import letter_of_event

ROW = Row("proj_1", "evt_1", "sess_1", "poison", '{"n":1.0}', None, 1_800_000_000_123)


async def add(queue: Redis, number: int, row: Row, partitions: int = 4) -> None:
    """Add a dead letter."""
    key = dead_letter_key(partition_of(row.project_id, partitions))
    fields = of_event(b"1-0", row, f"why {number}").fields()
    await queue.xadd(key, fields, id=f"{number}-0")  # type: ignore[arg-type]


async def test_found(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest letter of an event is found, however many lie on top of it."""
    monkeypatch.setattr(module, "LOOKED_AT", 7)
    await add(queue, 1, ROW)
    await add(queue, 2, ROW)
    for number in range(3, 100):
        await add(queue, number, ROW._replace(event_id=f"evt_{number}", payload='{"x":"evt_1"}'))
    letter = await letter_of_event(queue, 4, project="proj_1", event_id="evt_1")
    assert letter is not None
    assert (letter.why, letter.row) == ("why 2", ROW)
    assert await letter_of_event(queue, 4, project="proj_1", event_id="evt_none") is None


async def test_of_another(queue: Redis) -> None:
    """An event of the same id in another project, or an entry that nobody can read, is not it."""
    await add(queue, 1, ROW._replace(project_id="proj_2"), partitions=1)
    fields = of_entry(b"2-0", {b"h": b"1|proj_1", b"eventId": b"evt_1"}, "why").fields()
    await queue.xadd(dead_letter_key(0), fields, id="2-0")  # type: ignore[arg-type]
    assert await letter_of_event(queue, 1, project="proj_1", event_id="evt_1") is None
    letter = await letter_of_event(queue, 1, project="proj_2", event_id="evt_1")
    assert letter is not None


async def test_empty(queue: Redis) -> None:
    """Where nothing is dead, nothing is found."""
    assert await letter_of_event(queue, 1, project="proj_1", event_id="evt_1") is None
