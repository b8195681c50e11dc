"""A project's ledger over HTTP, while events are accepted, stored, refused and lost."""

from typing import Any

import pytest
from redis.asyncio import Redis

from core.partitions import stream_key
from gateway.api.caller import OPERATOR
from gateway.api.guard import Asked
from gateway.api.ledgers import Ledgers
from store.engine import open_engine
from store.events import SqlEvents
from store.ledger import SqlLedger
from tests.gateway.api.test_dead_letters import LEDGER, LETTERS, ROW, TOKEN, add, ask
from tests.gateway.conftest import Running, Start, batch_of
from worker.batch import Outcome
from worker.settle import Settler


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with an operator's token."""
    return await start(CONTOX_OPERATOR_TOKEN=TOKEN)


async def account(running: Running) -> dict[str, Any]:
    """The project's ledger, less what is nothing."""
    reply = await ask(running, LEDGER)
    assert reply.status == 200
    content: dict[str, Any] = reply.json
    return {name: value for name, value in content.items() if value}


async def test_new_project(running: Running) -> None:
    """A project that has sent nothing has a ledger of zeros, in balance."""
    reply = await ask(running, LEDGER)
    assert reply.json == {
        "accepted": 0,
        "stored": 0,
        "duplicates": 0,
        "deadLettered": 0,
        "inFlight": 0,
        "purged": 0,
        "writtenOff": 0,
        "spooled": 0,
        "lost": 0,
        "balanced": True,
    }


@pytest.mark.parametrize("project", ["proj_2", "demo", "%00", "a%2Fb", "?", "x" * 100])
async def test_unknown_project(running: Running, project: str) -> None:
    """A project is known by its id alone."""
    reply = await ask(running, f"/api/projects/{project}/ledger")
    assert (reply.status, reply.json["code"]) == (404, "not_found")


async def test_ledger(running: Running, environ: dict[str, str], queue: Redis) -> None:
    """The ledger follows events as they are accepted, stored, sent twice, refused, and lost."""
    assert (await running.producer.post(batch_of(3))).status == 202
    assert await account(running) == {"accepted": 3, "inFlight": 3, "balanced": True}

    ((entry_id, _),) = await queue.xrange(stream_key(0))
    engine = open_engine(environ["CONTOX_DATABASE_URL"])
    await SqlEvents(engine).write([ROW, ROW._replace(event_id="evt_2")])
    await engine.dispose()
    stored_only = {"accepted": 3, "stored": 2, "inFlight": 1, "balanced": True}
    assert await account(running) == stored_only
    await queue.xgroup_create(stream_key(0), "contox-workers", id="0")
    settler = Settler(queue, 0, name="one", dead_letters_max=9)
    await settler.settle([Outcome(entry_id, "proj_1", 3, 0)], [])
    settled = {"accepted": 3, "stored": 2, "duplicates": 1, "balanced": True}
    assert await account(running) == settled

    letter_id = await add(queue, 1)
    assert await account(running) == {**settled, "accepted": 4, "deadLettered": 1}
    await ask(running, f"{LETTERS}/{letter_id}/replay", "POST")
    assert await account(running) == {**settled, "accepted": 4, "inFlight": 1}
    await ask(running, f"{LETTERS}/{await add(queue, 2)}", "DELETE")
    before = {**settled, "accepted": 5, "inFlight": 1, "purged": 1}
    assert await account(running) == before

    await queue.delete(stream_key(0))
    del before["inFlight"], before["balanced"]
    assert await account(running) == {**before, "lost": 1}


async def test_spooled(environ: dict[str, str], running: Running, queue: Redis) -> None:
    """What waits in the gateway's spool is accepted, too."""

    async def spooled(project_id: str) -> int:
        assert project_id == "proj_1"
        return 7

    engine = open_engine(environ["CONTOX_DATABASE_URL"])
    ledgers = Ledgers(
        queue,
        partitions=1,
        projects=running.projects,
        ledger=SqlLedger(engine),
        spooled=spooled,
    )

    class Request:
        match_info = {"id": "proj_1"}

    answer = await ledgers._account(Asked(Request(), OPERATOR, 1))  # type: ignore[arg-type]
    await engine.dispose()
    assert isinstance(answer.body, bytes)
    assert b'"spooled":7,' in answer.body
    assert b'"accepted":7,' in answer.body
