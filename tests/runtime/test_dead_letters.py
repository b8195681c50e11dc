"""Dead letters on a real queue, drained by a real worker: put back once, or given up, and the
ledger in balance before, between and after.
"""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.body import Form
from core.codec import decode, explode
from core.errors import Refused
from core.event import Row
from core.ledger import Account, Totals, account
from core.partitions import dead_letter_key, ledger_key
from core.testing import MemoryEvents
from runtime.dead_letters import (
    LetterId,
    Outcome,
    all_ids,
    find,
    page,
    parse_id,
    purge,
    replay,
)
from runtime.ledger import read_book
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.runtime.test_dead_letters_listing import ROW, add_letter
from tests.worker.conftest import PLAIN, STREAM, append_entry, draining, is_drained

DEAD = dead_letter_key(0)
LEDGER = ledger_key(0)
UNREADABLE = {b"h": b"9|x", b"z": b"\xff"}


class Fussy(MemoryEvents):
    """A store that refuses events called poison, while it is fussy."""

    def __init__(self) -> None:
        super().__init__()
        self.fussy = True

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        if self.fussy and any(row.event == "poison" for row in rows):
            raise Refused("poison is forbidden")
        return await super().write(rows)


@pytest.fixture
def store() -> Fussy:
    """Where the worker writes."""
    return Fussy()


async def accept(queue: Redis, body: bytes, count: int = 1, form: Form = Form.SINGLE) -> bytes:
    """Append an entry of proj_1 and count it, as a gateway does."""
    await queue.hincrby(LEDGER, "proj_1|a", count)
    await queue.hincrby(LEDGER, "|a", 1)
    entry = msgspec.structs.replace(PLAIN, body=body, count=count, form=form)
    return await append_entry(queue, entry)


async def drain(queue: Redis, store: MemoryEvents) -> None:
    """Let a worker drain the stream."""
    async with draining(queue, store, breaker_percent="0"):
        await is_drained(queue)


async def die(queue: Redis, store: MemoryEvents) -> LetterId:
    """Accept one event that is stored and one that is refused; the id of its dead letter."""
    await accept(
        queue,
        b'[{"id":"a","event":"poison","payload":{ "n":1.0 },"timestamp":1.001},'
        b'{"id":"b","event":"saved","payload":{}}]',
        count=2,
        form=Form.ARRAY,
    )
    await drain(queue, store)
    return (await all_ids(queue, 1, project=None))[-1]


async def balanced(queue: Redis, store: MemoryEvents, project: str = "proj_1") -> Account:
    """The project's account, after making sure that nothing is missing."""
    book = await read_book(queue, 0)
    assert book.missing == 0
    totals = book.projects.get(project, Totals())
    return account(totals, stored=store.counts[project], in_stream=None)


async def test_replay(queue: Redis, store: Fussy) -> None:
    """A refused event is stored once its cause is gone, unchanged; every step is in balance."""
    letter_id = await die(queue, store)
    before = await balanced(queue, store)
    assert (before.accepted, before.stored, before.dead_lettered) == (2, 1, 1)
    store.fussy = False
    assert await replay(queue, [letter_id]) == [Outcome.DONE]
    between = await balanced(queue, store)
    assert (between.dead_lettered, between.in_flight) == (0, 1)
    assert await queue.xlen(DEAD) == 0
    await drain(queue, store)
    after = await balanced(queue, store)
    assert after == Account(2, 2, 0, 0, 0, 0, 0, 0, 0)
    assert store.rows["proj_1", "a"] == Row(
        "proj_1", "a", "sess_1", "poison", '{ "n":1.0 }', 1001, 1
    )


async def test_refused_again(queue: Redis, store: Fussy) -> None:
    """An event that is refused again is a dead letter again, under another id."""
    letter_id = await die(queue, store)
    await replay(queue, [letter_id])
    await drain(queue, store)
    (again,) = await all_ids(queue, 1, project=None)
    assert again != letter_id
    assert (await balanced(queue, store)).dead_lettered == 1


async def test_replay_twice(queue: Redis, store: Fussy) -> None:
    """The second replay of a letter does nothing, and says so."""
    letter_id = await die(queue, store)
    assert await replay(queue, [letter_id, letter_id]) == [Outcome.DONE, Outcome.GONE]
    ledger = await queue.hgetall(LEDGER)
    assert await replay(queue, [letter_id]) == [Outcome.GONE]
    assert await queue.xlen(STREAM) == 1
    assert await queue.hgetall(LEDGER) == ledger


async def test_replays_and_purges_at_once(
    queue: Redis, store: Fussy, shared_queue_server: QueueServer
) -> None:
    """Of many who replay or purge one letter at the same time, one does it."""
    letter_id = await die(queue, store)
    clients = [open_queue(shared_queue_server.url) for _ in range(20)]
    calls = [(replay if n % 2 else purge)(client, [letter_id]) for n, client in enumerate(clients)]
    outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
    assert (outcomes.count(Outcome.DONE), outcomes.count(Outcome.GONE)) == (1, 19)
    found = await balanced(queue, store)
    assert (found.dead_lettered, found.purged + found.in_flight) == (0, 1)
    for client in clients:
        await client.aclose()


async def test_stored_meanwhile(queue: Redis, store: Fussy) -> None:
    """An event that was sent again and stored while its letter lay there is stored once."""
    letter_id = await die(queue, store)
    store.fussy = False
    await accept(queue, b'{"id":"a","event":"poison","payload":{ "n":1.0 },"timestamp":1.001}')
    await drain(queue, store)
    await replay(queue, [letter_id])
    await drain(queue, store)
    found = await balanced(queue, store)
    assert (found.accepted, found.stored, found.duplicates, found.in_flight) == (3, 2, 1, 0)
    assert len(store.rows) == 2


async def test_entry(queue: Redis, store: Fussy) -> None:
    """An entry whose body cannot be read counts its events, and goes back as it was."""
    await accept(queue, b"[{", count=7, form=Form.ARRAY)
    ((_, entry),) = await queue.xrange(STREAM)
    await drain(queue, store)
    (letter_id,) = await all_ids(queue, 1, project="proj_1")
    assert (await balanced(queue, store)).dead_lettered == 7
    await replay(queue, [letter_id])
    assert (await balanced(queue, store)).in_flight == 7
    assert [fields for _, fields in await queue.xrange(STREAM)] == [entry]
    await drain(queue, store)
    assert (await balanced(queue, store)).dead_lettered == 7
    (again,) = await all_ids(queue, 1, project="proj_1")
    letter = await find(queue, again)
    assert letter is not None
    assert "body cannot be read" in letter.why


async def test_unknown_project(queue: Redis, store: Fussy) -> None:
    """An entry that no gateway has appended is counted once, however often it is replayed."""
    await queue.xadd(STREAM, UNREADABLE)  # type: ignore[arg-type]
    await drain(queue, store)
    for _ in range(2):
        (letter_id,) = await all_ids(queue, 1, project="?")
        assert (await balanced(queue, store, "?"))[:4] == (1, 0, 0, 1)
        await replay(queue, [letter_id])
        assert (await balanced(queue, store, "?")).in_flight == 1
        await drain(queue, store)
    await queue.xadd(STREAM, UNREADABLE)  # type: ignore[arg-type]
    await replay(queue, await all_ids(queue, 1, project="?"))
    await drain(queue, store)
    assert (await balanced(queue, store, "?"))[:4] == (2, 0, 0, 2)
    await purge(queue, await all_ids(queue, 1, project="?"))
    found = await balanced(queue, store, "?")
    assert (found.dead_lettered, found.purged, found.in_flight) == (0, 2, 0)


async def test_purge(queue: Redis, store: Fussy) -> None:
    """A purged letter is gone and counted as purged, once."""
    letter_id = await die(queue, store)
    assert await purge(queue, [letter_id, letter_id]) == [Outcome.DONE, Outcome.GONE]
    assert await replay(queue, [letter_id]) == [Outcome.GONE]
    assert await find(queue, letter_id) is None
    found = await balanced(queue, store)
    assert (found.accepted, found.stored, found.dead_lettered, found.purged) == (2, 1, 0, 1)


async def test_out_of_memory(own_queue_server: QueueServer, store: Fussy) -> None:
    """On a server out of memory letters are listed, replayed and purged: they may be the cause."""
    queue = open_queue(own_queue_server.url)
    await die(queue, store)
    letter_id = await die(queue, store)
    await queue.config_set("maxmemory", 1)
    with pytest.raises(ResponseError):
        await queue.set("x", "y")
    assert len((await page(queue, 1, project="proj_1", limit=9)).letters) == 2
    assert await purge(queue, [letter_id]) == [Outcome.DONE]
    assert await replay(queue, await all_ids(queue, 1, project=None)) == [Outcome.DONE]
    store.fussy = False
    await drain(queue, store)
    found = await balanced(queue, store)
    assert (found.accepted, found.purged, found.dead_lettered, found.in_flight) == (4, 1, 0, 0)
    await queue.aclose()


async def test_stream_that_takes_nothing(queue: Redis, store: Fussy) -> None:
    """If the stream cannot take the entry, the letter stays and nothing is counted."""
    letter_id = await die(queue, store)
    ledger = await queue.hgetall(LEDGER)
    await queue.rename(STREAM, "aside")
    await queue.set(STREAM, "not a stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await replay(queue, [letter_id])
    assert await find(queue, letter_id) is not None
    assert await queue.hgetall(LEDGER) == ledger


async def test_many(queue: Redis) -> None:
    """More letters than are read at once go back in the order they had."""
    ids = [
        await add_letter(queue, 0, f"{n}-0", ROW._replace(event_id=f"evt_{n}"))
        for n in range(1, 121)
    ]
    assert await all_ids(queue, 1, project=None) == ids
    assert await replay(queue, ids) == [Outcome.DONE] * 120
    rows = [row for _, entry in await queue.xrange(STREAM) for row in explode(decode(entry))]
    assert [row.event_id for row in rows] == [f"evt_{n}" for n in range(1, 121)]
    assert rows[0] == ROW


@pytest.mark.parametrize("fields", [{"x": "y"}, {"v": "2", "project": "proj_1", "payload": "{}"}])
async def test_something_else(queue: Redis, fields: dict[str, str]) -> None:
    """What is no dead letter is listed and can be purged, uncounted; it is not put back."""
    entry_id = await queue.xadd(DEAD, fields)  # type: ignore[arg-type]
    letter_id = parse_id(f"0-{entry_id.decode()}")
    (letter,) = (await page(queue, 1, project=None, limit=9)).letters
    assert (letter.id, letter.is_ours) == (letter_id, False)
    assert "version 1" in letter.why
    assert await replay(queue, [letter_id]) == [Outcome.NOT_OURS]
    assert await purge(queue, [letter_id]) == [Outcome.DONE]
    assert await queue.xlen(DEAD) == 0
    assert not await queue.exists(STREAM, LEDGER)
