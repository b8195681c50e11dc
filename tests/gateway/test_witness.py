"""What a gateway has seen in the ledger survives a queue that has forgotten it."""

from collections.abc import AsyncIterator

import hiredis
import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from core.metrics import Meter, Metric
from core.partitions import ledger_key, stream_key
from gateway.call import APPEND, OPENING_ARGUMENTS, Call
from gateway.standings import Standings
from gateway.witness import Witness
from runtime.ledger import read_book
from tests.contracts.event_queue import ENTRY, Noted


@pytest.fixture
async def connection(queue: Redis) -> AsyncIterator[AbstractConnection]:
    """A connection of the kind the publisher uses."""
    connection = queue.connection_pool.make_connection()
    await connection.connect()
    yield connection
    await connection.disconnect()


async def that_saw(count: int, connection: AbstractConnection, meter: Meter) -> Witness:
    """A gateway's, which has seen so many events of a project in the ledger that is there."""
    standings = Standings(1)
    witness = Witness(standings, meter)
    await witness.testify(connection)
    standings.of("proj_1").seen = count
    return witness


async def test_forgotten_is_raised(queue: Redis, connection: AbstractConnection) -> None:
    """Counts that are lower than they were are raised, and counted as forgotten, in events."""
    meter = Meter("gateway")
    standings = Standings(1)
    seen = Witness(standings, meter)
    standings.of("proj_1").seen, standings.entries[0].seen = 10, 4
    await seen.testify(connection)
    book = await read_book(queue, 0)
    assert (book.projects["proj_1"].accepted, book.entries.accepted) == (10, 4)
    assert meter.get(Metric.EVENTS_FORGOTTEN) == 10
    await seen.testify(connection)
    assert meter.get(Metric.EVENTS_FORGOTTEN) == 10


async def test_higher_counts_stay(queue: Redis, connection: AbstractConnection) -> None:
    """What others have appended meanwhile is not taken back."""
    meter = Meter("gateway")
    for witness in [await that_saw(count, connection, meter) for count in (10, 7)]:
        await witness.testify(connection)
    assert (await read_book(queue, 0)).projects["proj_1"].accepted == 10
    assert meter.get(Metric.EVENTS_FORGOTTEN) == 10


async def test_two_gateways_of_an_emptied_queue(
    queue: Redis, connection: AbstractConnection
) -> None:
    """What one gateway appends before the other has told what it knew hides nothing of it."""
    meter = Meter("gateway")
    first, second = [await that_saw(count, connection, meter) for count in (100, 102)]
    await queue.flushall()
    await first.testify(connection)
    await queue.hincrby(ledger_key(0), "proj_1|a", 5)
    await second.testify(connection)
    assert (await read_book(queue, 0)).projects["proj_1"].accepted == 107
    assert meter.get(Metric.EVENTS_FORGOTTEN) == 102


async def test_ledger_gets_an_id_once(queue: Redis, connection: AbstractConnection) -> None:
    """Opening gives the ledger an id, which stays."""
    await Witness(Standings(2), Meter("gateway")).testify(connection)
    ids = [(await read_book(queue, n)).queue_id for n in range(2)]
    assert len(set(ids)) == 2
    await Witness(Standings(2), Meter("gateway")).testify(connection)
    assert [(await read_book(queue, n)).queue_id for n in range(2)] == ids


async def test_ledger_that_was_there_before(queue: Redis, connection: AbstractConnection) -> None:
    """Of a ledger that nobody has said it of, it is not taken for granted that it is the first."""
    await queue.hset(ledger_key(0), mapping={"id": "x", "proj_1|a": 2, "proj_1|b": 100})
    standings = Standings(1)
    await Witness(standings, Meter("gateway")).testify(connection)
    assert await queue.hget(ledger_key(0), "before") is None
    call = Call(0, standings)
    call.add(ENTRY, Noted(), bytes_max=10_000)
    packed = b"".join(call.packed("x"))
    counts = await queue.eval(APPEND, 2, stream_key(0), ledger_key(0), *arguments_of(packed))
    assert counts == [103, 1]


def arguments_of(packed: bytes) -> list[bytes]:
    """The script's, of a call on the wire."""
    reader = hiredis.Reader()
    reader.feed(packed)
    return list(reader.gets()[OPENING_ARGUMENTS - 2 :])
