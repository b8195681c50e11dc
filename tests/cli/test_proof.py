"""The proof on a real database and a real queue, which the test changes behind its back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from worker.dead_letters import of_event

from cli import proof
from cli.errors import CliError
from cli.proof import prove
from core.event import Row
from core.partitions import dead_letter_key, stream_key
from loadtest.events import TYPE, event_id, payload
from loadtest.run import Outcome
from loadtest.verify import Verdict
from store.engine import open_engine
from store.events import SqlEvents
from tests.cli.conftest import Store, free_port
from tests.loadtest.conftest import RUN, outcome_of, plan_for, told

COUNT = 1_200  # more than a page of the store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than for a real worker."""
    monkeypatch.setattr(proof, "POLL_S", 0.02)


@pytest.fixture
async def database(store: Store) -> AsyncIterator[AsyncEngine]:
    """The database of `store`."""
    engine = open_engine(store.environ["CONTOX_DATABASE_URL"])
    yield engine
    await engine.dispose()


def name(number: int) -> str:
    """An event's id."""
    return event_id(RUN, 0, number)


def rows(store: Store, numbers: Iterable[int]) -> list[Row]:
    """Events as the worker stores them."""
    now_ms = int(time.time() * 1_000)
    return [
        Row(store.project, name(n), "sess_1", TYPE, payload(name(n), n, 100), None, now_ms + n)
        for n in numbers
    ]


def outcome_with(store: Store, count: int) -> Outcome:
    """A run that has had this many events acknowledged."""
    plan = plan_for(project=store.project, payload_bytes=100)
    outcome = outcome_of(plan, told(last=True, acknowledged=range(count)))
    outcome.started_s = time.time()
    return outcome


async def proven(store: Store, count: int, **environ: str) -> Verdict:
    """What the proof says of this many acknowledged events."""
    outcome = outcome_with(store, count)
    return await asyncio.to_thread(prove, outcome, {**store.environ, **environ})


async def bury(queue: Redis, letters: list[Row], partition: int = 0) -> None:
    """Put dead letters where the worker puts them."""
    for row in letters:
        letter: Any = of_event(b"1-0", row, "it was refused").fields()
        await queue.xadd(dead_letter_key(partition), letter)


async def test_holds(store: Store, database: AsyncEngine, queue: Redis) -> None:
    """What is stored as it was sent is proven, over several pages of the store."""
    await SqlEvents(database).write(rows(store, range(COUNT)))
    verdict = await proven(store, COUNT)
    assert (verdict.acknowledged, verdict.stored, verdict.holds) == (COUNT, COUNT, True)
    assert await queue.exists(stream_key(0)) == 0


async def test_damaged(
    store: Store, database: AsyncEngine, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row deleted, one changed and one invented in the database are found, exactly those."""
    monkeypatch.setattr(proof, "AGAIN_MAX", 1)
    await SqlEvents(database).write(rows(store, [*range(COUNT), COUNT + 5]))
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM events WHERE event_id = :id"), {"id": name(700)})
        await connection.execute(
            text("UPDATE events SET payload = replace(payload, 'xx', 'xy') WHERE event_id = :id"),
            {"id": name(1_111)},
        )
    verdict = await proven(store, COUNT)
    assert (verdict.lost, verdict.duplicated, verdict.altered, verdict.never_sent) == (1, 0, 1, 1)
    assert verdict.ids == {
        "lost": [name(700)],
        "altered": [name(1_111)],
        "never_sent": [name(COUNT + 5)],
    }
    assert not verdict.holds
    assert await queue.dbsize() == 0


async def test_dead_letters(
    store: Store, database: AsyncEngine, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead letters of every partition count as kept, however many pages of them there are."""
    monkeypatch.setattr(proof, "PAGE", 3)
    await SqlEvents(database).write(rows(store, range(10)))
    await bury(queue, rows(store, range(10, 17)))
    await bury(queue, rows(store, range(17, 20)), partition=2)
    unreadable: Any = {b"v": b"1", b"why": b"no event", b"entry": b"1-0", b"h": b"x", b"b": b"y"}
    await queue.xadd(dead_letter_key(1), unreadable)
    verdict = await proven(store, 20, CONTOX_PARTITIONS="3")
    assert (verdict.stored, verdict.dead_lettered, verdict.holds) == (10, 10, True)


async def test_waits_for_the_drain(store: Store, database: AsyncEngine, queue: Redis) -> None:
    """What is in the queue still is waited for, in every partition, and is not lost."""
    await SqlEvents(database).write(rows(store, range(5)))
    await queue.xadd(stream_key(1), {"h": "x"})
    proving = asyncio.create_task(proven(store, 10, CONTOX_PARTITIONS="2"))
    await asyncio.sleep(0.4)
    assert not proving.done()
    await SqlEvents(database).write(rows(store, range(5, 10)))
    await queue.delete(stream_key(1))
    verdict = await proving
    assert (verdict.stored, verdict.holds) == (10, True)


async def test_gives_up_waiting(
    store: Store, database: AsyncEngine, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that does not drain is waited for so long; then what is missing is lost."""
    monkeypatch.setattr(proof, "DRAIN_S", 0.2)
    monkeypatch.setattr(proof, "AGAIN_MAX", 1)
    await SqlEvents(database).write(rows(store, range(9)))
    await queue.xadd(stream_key(0), {"h": "x"})
    assert (await proven(store, 10)).ids["lost"] == [name(9)]


async def test_looks_again(
    store: Store, database: AsyncEngine, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that shows a moment after the queue was seen empty is not lost."""
    monkeypatch.setattr(proof, "POLL_S", 0.2)
    await SqlEvents(database).write(rows(store, range(9)))
    proving = asyncio.create_task(proven(store, 10))
    await asyncio.sleep(0.5)
    assert not proving.done()
    await SqlEvents(database).write(rows(store, [9]))
    assert (await proving).holds
    assert await queue.dbsize() == 0


async def test_another_database(store: Store, queue: Redis) -> None:
    """A database that is no store of ours is one sentence that asks for the option."""
    with pytest.raises(CliError, match=r"is --database-url right\?$"):
        await proven(store, 1, CONTOX_DATABASE_URL=f"sqlite:///{store.data_dir}/other.db")
    assert await queue.dbsize() == 0


async def test_no_queue(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is not there is one sentence that asks for the option."""
    monkeypatch.setattr(proof, "DRAIN_S", 0.1)
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(CliError, match=r"^The queue cannot be read: .* is --redis-url right\?$"):
        await proven(store, 1, CONTOX_REDIS_URL=nowhere)


async def test_queue_comes_back(store: Store, own_queue_server: Any) -> None:
    """A queue that was killed and comes back is waited for."""
    own_queue_server.stop()
    proving = asyncio.create_task(proven(store, 0, CONTOX_REDIS_URL=own_queue_server.url))
    await asyncio.sleep(0.3)
    assert not proving.done()
    await asyncio.to_thread(own_queue_server.start)
    assert (await proving).holds
