"""Settling on a real queue: counted once, deleted, acknowledged; or nothing of it."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.dead_letter import DeadLetter
from core.ledger import Totals
from core.partitions import GROUP, dead_letter_key, ledger_key
from runtime.ledger import read_book
from tests.worker.conftest import STREAM, append
from worker.batch import Outcome
from worker.settle import Settler

DEAD = dead_letter_key(0)


def letter(project: str = "proj_1", events: int = 1) -> DeadLetter:
    """A dead letter."""
    return DeadLetter("bad", project, events, {b"x": b"1"})


@pytest.fixture
def settler(queue: Redis) -> Settler:
    """The settler under test."""
    return Settler(queue, 0, name="one", dead_letters_max=3)


async def delivered(queue: Redis, count: int) -> list[bytes]:
    """Entries that one consumer has in hand, appended as a gateway does."""
    ids = [await append(queue, number) for number in range(count)]
    await queue.hincrby(ledger_key(0), "|a", count)
    await queue.hincrby(ledger_key(0), "proj_1|a", count)
    await queue.xgroup_create(STREAM, GROUP, id="0")
    await queue.xreadgroup(GROUP, "one", {STREAM: ">"}, count=count)
    return ids


def stored(ids: list[bytes], project: str = "proj_1") -> list[Outcome]:
    """One stored event each."""
    return [Outcome(entry_id, project, 1, 0) for entry_id in ids]


async def is_gone(queue: Redis) -> bool:
    """Whether nothing is in the stream or pending."""
    pending = await queue.xpending(STREAM, GROUP)
    return not pending["pending"] and not await queue.xlen(STREAM)


async def test_stored(queue: Redis, settler: Settler) -> None:
    """Stored entries are counted, acknowledged and deleted."""
    ids = await delivered(queue, 2_500)
    assert await settler.settle(stored(ids), []) == 2_500
    book = await read_book(queue, 0)
    assert book.projects == {"proj_1": Totals(2_500, 2_500)}
    assert (book.entries, book.missing) == (Totals(2_500, 2_500), 0)
    assert await is_gone(queue)


async def test_dead(queue: Redis, settler: Settler) -> None:
    """Dead letters are kept and counted, beside what was stored of the same entry."""
    first, second = await delivered(queue, 2)
    outcomes = [Outcome(first, "proj_1", 4, 2), Outcome(second, "proj_2", 0, 7)]
    await settler.settle(outcomes, [(0, letter()), (0, letter()), (1, letter("proj_2", 7))])
    book = await read_book(queue, 0)
    assert book.projects == {"proj_1": Totals(2, 4, 2), "proj_2": Totals(0, 0, 7)}
    assert [fields[b"why"] for _, fields in await queue.xrange(DEAD)] == [b"bad"] * 3
    assert await is_gone(queue)


async def test_twice_counts_once(queue: Redis, settler: Settler) -> None:
    """Entries that another worker has settled are not counted again, nor buried again."""
    ids = await delivered(queue, 3)
    other = Settler(queue, 0, name="two", dead_letters_max=9)
    await other.settle(stored(ids[1:2]), [])
    outcomes = [Outcome(ids[0], "proj_1", 1, 0), *stored(ids[1:2]), Outcome(ids[2], "p", 0, 1)]
    letters = [(1, letter()), (2, letter("p"))]
    assert await settler.settle(outcomes, letters) == 2
    assert await settler.settle(outcomes, letters) == 0
    book = await read_book(queue, 0)
    assert book.projects == {"proj_1": Totals(3, 2), "p": Totals(0, 0, 1)}
    assert (book.entries, book.missing, await queue.xlen(DEAD)) == (Totals(3, 3), 0, 1)


async def test_group_was_made_anew(queue: Redis, settler: Settler) -> None:
    """What is in the stream is settled, be it pending or not: the group may be a new one."""
    ids = await delivered(queue, 2)
    await queue.xgroup_destroy(STREAM, GROUP)
    with pytest.raises(ResponseError, match="NOGROUP"):
        await settler.settle(stored(ids), [])
    await queue.xgroup_create(STREAM, GROUP, id="0")
    assert await settler.settle(stored(ids), []) == 2
    assert await is_gone(queue)


async def test_nobody_has_appended(queue: Redis, settler: Settler) -> None:
    """An entry that does not tell whose it is is no gateway's: it is counted in and out."""
    entry_id = await queue.xadd(STREAM, {"what": "ever"})
    await queue.xgroup_create(STREAM, GROUP, id="0")
    await settler.settle([Outcome(entry_id, "?", 0, 1)], [(0, letter("?"))])
    book = await read_book(queue, 0)
    assert book.projects == {"?": Totals(accepted=1, dead=1)}
    assert (book.entries, book.missing) == (Totals(1, 1), 0)


async def test_dead_letters_full(queue: Redis, settler: Settler) -> None:
    """At the bound of the dead letters nothing is done."""
    ids = await delivered(queue, 2)
    for _ in range(2):
        await queue.xadd(DEAD, {"x": 1})
    with pytest.raises(ResponseError, match="DEADFULL"):
        await settler.settle(stored(ids), [(0, letter()), (1, letter())])
    assert await queue.xlen(STREAM) == 2
    await settler.settle(stored(ids), [(0, letter())])
    assert await is_gone(queue)


async def test_dead_letter_cannot_be_written(queue: Redis, settler: Settler) -> None:
    """If a dead letter cannot be kept, nothing is acknowledged, deleted or counted."""
    ids = await delivered(queue, 2)
    await queue.set(DEAD, "not a stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await settler.settle(stored(ids), [(0, letter())])
    assert (await queue.xlen(STREAM), (await queue.xpending(STREAM, GROUP))["pending"]) == (2, 2)
    assert (await read_book(queue, 0)).entries == Totals(2, 0)


async def test_script_forgotten(queue: Redis, settler: Settler) -> None:
    """A server that has forgotten the script is given it again."""
    ids = await delivered(queue, 2)
    await settler.settle(stored(ids[:1]), [])
    await queue.script_flush()
    assert await settler.settle(stored(ids[1:]), []) == 1
