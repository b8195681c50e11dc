"""`ledger` over real queues and stores: what is shown, and how a loss is written off."""

import asyncio
import os
import pty

import pytest
from redis.asyncio import Redis

from cli import bookkeeping
from core.metrics import Meter
from core.partitions import ledger_key, stream_key
from core.settings import read as read_settings
from runtime.ledger import read_book
from store.engine import open_engine
from store.ledger import SqlLedger
from tests.cli.conftest import SCRIPT, Command, Result, Store, environ_without_settings
from tests.cli.flow import append, settle
from worker.books import Books


@pytest.fixture
def ledger(command: Command, store: Store, queue: Redis) -> Command:
    """`contox-ingest ledger` on the store and an empty queue."""

    async def run(*arguments: object, **environ: str) -> Result:
        return await command("ledger", *arguments, **{**store.environ, **environ})

    return run


async def lose(queue: Redis, store: Store, events: int = 12) -> None:
    """An entry of `demo` that nobody has read is deleted."""
    entry = await append(queue, store.project, events)
    await queue.xdel(stream_key(0), entry)


async def test_nothing(ledger: Command) -> None:
    """Before the first event a sentence is shown, and a program reads []."""
    assert await ledger() == (0, "The ledger is empty: nothing has been accepted yet.\n", "")
    assert (await ledger("--json")).json == []


async def test_accounts(ledger: Command, store: Store, queue: Redis) -> None:
    """Each project has a row with what has become of its events; one is chosen by name or id."""
    await settle(queue, await append(queue, store.project, 3), store.project, 3)
    await append(queue, store.project, 1_200)
    await append(queue, "proj_other", 2)
    result = await ledger()
    head, first, second = (line.split() for line in result.out.splitlines())
    assert (result.status, result.err) == (0, "")
    assert head[:4] == ["project", "accepted", "stored", "duplicates"]
    assert first == ["demo", "1,203", "0", "3", "0", "0", "0", "1,200", "0"]
    assert second == ["proj_other", "2", "0", "0", "0", "0", "0", "2", "0"]
    for name in ("demo", store.project):
        assert (await ledger(name, "--json")).json == [
            {
                "projectId": store.project,
                "name": "demo",
                "accepted": 1203,
                "stored": 0,
                "duplicates": 3,
                "deadLettered": 0,
                "purged": 0,
                "writtenOff": 0,
                "inFlight": 1200,
                "lost": 0,
            }
        ]
    assert (await ledger("show", "proj_other")).out.splitlines()[1].split() == second


async def test_project_without_events(ledger: Command) -> None:
    """A project that has sent nothing has an account of zeros; an unknown one is told."""
    assert (await ledger("demo")).out.splitlines()[1].split() == ["demo", *["0"] * 8]
    result = await ledger("none")
    told = "contox-ingest: There is no project 'none'; list them with: contox-ingest project list\n"
    assert result == (1, "", told)


async def test_loss_is_shown(ledger: Command, store: Store, queue: Redis) -> None:
    """A loss is shown, with the command that accepts it."""
    await lose(queue, store)
    result = await ledger()
    assert result.out.splitlines()[1].split()[-1] == "12"
    assert "accept it with: contox-ingest ledger write-off" in result.err


async def test_write_off(ledger: Command, store: Store, queue: Redis) -> None:
    """With --yes the loss is shown and written off; then the ledger is in balance."""
    await lose(queue, store)
    await append(queue, "proj_other", 2)
    result = await ledger("write-off", "--yes")
    assert result.status == 0
    shown, told = result.out.splitlines()[1:]
    assert shown.split()[-1] == "12"
    assert told == "Written off: 12 events of project demo as lost."
    assert (await read_book(queue, 0)).missing == 0
    (account,) = (await ledger("demo", "--json")).json
    assert (account["writtenOff"], account["lost"]) == (12, 0)
    nothing = "The ledger is in balance: there is nothing to write off.\n"
    assert await ledger("write-off") == (0, nothing, "")


async def test_deleted_stream(ledger: Command, store: Store, queue: Redis) -> None:
    """DEL of the stream is written off for all projects in it at once."""
    await append(queue, store.project, 3)
    await append(queue, "proj_other", 1)
    await queue.delete(stream_key(0))
    result = await ledger("write-off", "--yes")
    told = (
        "Written off: 3 events of project demo as lost and 1 event of project proj_other as lost."
    )
    assert result.out.splitlines()[-1] == told
    assert (await read_book(queue, 0)).missing == 0


async def test_emptied_queue(ledger: Command, store: Store, queue: Redis) -> None:
    """After FLUSHALL, what a worker has remembered is what was lost; written off, it is balanced
    for the worker, too."""
    engine = open_engine(store.environ["CONTOX_DATABASE_URL"])
    meter = Meter("worker")
    books = Books(queue, SqlLedger(engine), settings=read_settings({}), meter=meter)
    await books.open(0)
    await append(queue, store.project, 5)
    await queue.xgroup_create(stream_key(0), "contox-workers", id="0")
    await books.watch()
    await queue.flushall()
    await books.open(0)
    await append(queue, store.project, 2)
    (account,) = (await ledger("--json")).json
    assert (account["accepted"], account["inFlight"], account["lost"]) == (7, 2, 5)
    result = await ledger("write-off", "--yes")
    assert result.out.splitlines()[-1] == "Written off: 5 events of project demo as lost."
    await queue.xgroup_create(stream_key(0), "contox-workers", id="0")
    await books.watch()
    await engine.dispose()
    assert (await read_book(queue, 0)).missing == 0


async def test_more_than_was_accepted(ledger: Command, store: Store, queue: Redis) -> None:
    """More than was accepted is corrected, too, and called what it is."""
    await append(queue, store.project, 3)
    await queue.hset(ledger_key(0), mapping={f"{store.project}|a": 1, "|a": 0})
    result = await ledger("write-off", "--yes")
    assert result.out.splitlines()[-1] == "Written off: 2 events of project demo too many."
    book = await read_book(queue, 0)
    assert (book.missing, book.projects[store.project].outstanding) == (0, 3)


async def test_no_terminal(ledger: Command, store: Store, queue: Redis) -> None:
    """Without a terminal nothing is written off unasked."""
    await lose(queue, store)
    result = await ledger("write-off")
    told = "contox-ingest: Writing off asks first, and this is no terminal; say --yes.\n"
    assert (result.status, result.err) == (1, told)
    assert (await read_book(queue, 0)).missing == 1


@pytest.mark.parametrize(("answer", "missing"), [(b"y\n", 0), (b"\n", 1), (b"no\n", 1)])
async def test_question(store: Store, queue: Redis, answer: bytes, missing: int) -> None:
    """On a terminal it asks, and takes nothing but y for a yes."""
    await lose(queue, store)
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    process = await asyncio.create_subprocess_exec(
        *(SCRIPT, "ledger", "write-off"),
        env={**environ_without_settings(), **store.environ},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    os.close(ours)
    os.close(theirs)
    assert b"Write off 12 events of project demo as lost? [y/N]" in out
    assert (process.returncode, (await read_book(queue, 0)).missing) == (missing, missing)


async def test_in_motion(
    ledger: Command, store: Store, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be told exactly is shown as ?, and never written off."""
    monkeypatch.setattr(bookkeeping, "PAUSE_S", 0)
    await lose(queue, store)
    real = bookkeeping.count_stream

    async def meanwhile(client: Redis, partition: int) -> object:
        await append(client, store.project)
        return await real(client, partition)

    monkeypatch.setattr(bookkeeping, "count_stream", meanwhile)
    result = await ledger()
    assert result.out.splitlines()[1].split()[-1] == "?"
    assert "demo flow too fast to be counted" in result.err
    assert (await ledger("--json")).json[0]["lost"] is None
    result = await ledger("write-off", "--yes")
    assert result.status == 1
    assert result.err.endswith("Nothing was written off.\n")
    assert (await read_book(queue, 0)).missing == 1


async def test_queue_away(ledger: Command) -> None:
    """With the queue away one sentence says what to do."""
    result = await ledger(CONTOX_REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("contox-ingest: The queue redis://:***@127.0.0.1:1/0 cannot be")
    assert "hunter2" not in result.err


async def test_help(ledger: Command) -> None:
    """The help names both commands."""
    result = await ledger("--help")
    assert result.status == 0
    assert "write-off" in result.out
