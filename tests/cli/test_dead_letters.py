"""`dead-letters` on a real queue: what is shown, put back, given up, and asked before."""

import json
import os
import subprocess

import pytest
from redis.asyncio import Redis

from cli.accounts import open_accounts
from core.dead_letter import of_entry, of_event
from core.event import Row
from core.ledger import Totals
from core.partitions import dead_letter_key, ledger_key, stream_key
from runtime.ledger import read_book
from tests.cli.conftest import SCRIPT, Command, Result, Store, environ_without_settings, free_port

PAYLOAD = '{ "n":1.0,"list":[1,2],"esc":"\\u001b[31m\u0085" }'
SINCE_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z


async def add(queue: Redis, store: Store, number: int, **changed: str) -> str:
    """Add a dead letter of the store's project, as a worker does; returns its id."""
    row = Row(store.project, f"evt_{number}", "sess_1", "poison", PAYLOAD, None, SINCE_MS)
    row = row._replace(**changed)  # type: ignore[arg-type]
    entry_id = f"{SINCE_MS + number * 1000}-0"
    fields = of_event(b"1-0", row, "[bold]forbidden[/bold]").fields()
    await queue.xadd(dead_letter_key(0), fields, id=entry_id)  # type: ignore[arg-type]
    for name, by in ((f"{row.project_id}|a", 1), (f"{row.project_id}|d", 1), ("|a", 1), ("|s", 1)):
        await queue.hincrby(ledger_key(0), name, by)
    return f"0-{entry_id}"


@pytest.fixture
def letters(command: Command, store: Store, queue: Redis) -> Command:
    """`contox-ingest dead-letters` on the data directory of `store` and the test's queue."""

    async def run(name: str, *arguments: object, **environ: str) -> Result:
        url = {"CONTOX_REDIS_URL": store.environ["CONTOX_REDIS_URL"]}
        where = ("--data-dir", store.data_dir)
        return await command("dead-letters", name, *where, *arguments, **{**url, **environ})

    return run


async def totals(queue: Redis, store: Store) -> Totals:
    """The counts of the store's project; nothing is missing."""
    book = await read_book(queue, 0)
    assert book.missing == 0
    return book.projects[store.project]


async def test_list(letters: Command, queue: Redis, store: Store) -> None:
    """A person reads a line for each, newest first, with the reason as the store gave it."""
    first, second = [await add(queue, store, n) for n in (1, 2)]
    result = await letters("list")
    assert (result.status, result.err) == (0, "")
    head, *lines = [line.split() for line in result.out.splitlines()]
    assert head == ["id", "since", "project", "event", "why"]
    rest = [store.project, "poison", "[bold]forbidden[/bold]"]
    assert lines == [
        [second, "2027-01-15T08:00:02", *rest],
        [first, "2027-01-15T08:00:01", *rest],
    ]


async def test_list_json(letters: Command, queue: Redis, store: Store) -> None:
    """A program reads every member, the payload byte for byte."""
    letter_id = await add(queue, store, 1)
    result = await letters("list", "--json")
    assert result.json == [
        {
            "id": letter_id,
            "projectId": store.project,
            "eventId": "evt_1",
            "event": "poison",
            "sessionId": "sess_1",
            "why": "[bold]forbidden[/bold]",
            "receivedAt": "2027-01-15T08:00:00.000Z",
            "timestamp": None,
            "payload": json.loads(PAYLOAD),
            "events": 1,
            "unreadable": False,
        }
    ]
    assert f'"payload": {PAYLOAD},' in result.out


async def test_pages(letters: Command, queue: Redis, store: Store) -> None:
    """A listing that is cut short says how to go on."""
    ids = [await add(queue, store, n) for n in (3, 4, 5)]
    result = await letters("list", "--json", "--limit", 2)
    assert [letter["id"] for letter in result.json] == [ids[2], ids[1]]
    assert result.err == f"There are more; go on with --cursor {ids[1]}\n"
    rest = await letters("list", "--json", "--cursor", ids[1])
    assert ([letter["id"] for letter in rest.json], rest.err) == ([ids[0]], "")


@pytest.mark.parametrize("by", ["name", "id", "unknown"])
async def test_one_project(letters: Command, queue: Redis, store: Store, by: str) -> None:
    """Only the project's own are listed, whether it is named, its id is given, or it is unknown."""
    async with open_accounts(store.environ) as accounts:
        await accounts.create("other")
    own = await add(queue, store, 1)
    foreign = await add(queue, store, 2, project_id="?")
    wanted = {"name": "demo", "id": store.project, "unknown": "?"}[by]
    result = await letters("list", "--json", "--project", wanted)
    assert [x["id"] for x in result.json] == [foreign if by == "unknown" else own]
    other = await letters("list", "--project", "other")
    assert other == (0, "There is no dead letter of project other.\n", "")


async def test_none(letters: Command) -> None:
    """Where there is none, a person reads so whatever is asked, and a program reads []."""
    for arguments in (("list",), ("replay", "--all"), ("purge", "--all")):
        assert await letters(*arguments) == (0, "No dead letter.\n", "")
    assert (await letters("list", "--json")).json == []


async def test_show(letters: Command, queue: Redis, store: Store) -> None:
    """A person reads all of it, the payload indented, and nothing that a terminal would obey."""
    letter_id = await add(queue, store, 1)
    result = await letters("show", letter_id)
    lines = result.out.splitlines()
    assert ["id", letter_id] in [line.split() for line in lines]
    assert ["since", "2027-01-15T08:00:01.000Z"] in [line.split() for line in lines]
    assert ["why", "[bold]forbidden[/bold]"] in [line.split() for line in lines]
    assert lines[lines.index("{") + 1] == '  "n": 1.0,'
    assert "\x85" not in result.out
    assert (await letters("show", letter_id, "--json")).json["payload"] == json.loads(PAYLOAD)


async def test_show_entry(letters: Command, queue: Redis) -> None:
    """Of an entry that could not be read a person reads its fields, be they text or not."""
    fields = of_entry(b"1-0", {b"h": b"9|x", b"b": b"\xff\x00"}, "version").fields()
    await queue.xadd(dead_letter_key(0), fields, id="5-0")  # type: ignore[arg-type]
    result = await letters("show", "0-5-0")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["h", "9|x"] in lines
    assert ["b", "\\xff"] in lines
    listed = await letters("list")
    assert "(1 unread)" in listed.out


def run(letter_command: list[object], store: Store, stdin: int | None = None) -> Result:
    """`dead-letters …` as a process: standard output is bytes, standard input may be a terminal."""
    environ = {
        **environ_without_settings(),
        "CONTOX_REDIS_URL": store.environ["CONTOX_REDIS_URL"],
        "CONTOX_DATA_DIR": str(store.data_dir),
    }
    command = [SCRIPT, "dead-letters", *map(str, letter_command)]
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


async def test_show_raw(queue: Redis, store: Store) -> None:
    """The payload alone is what was signed, byte for byte."""
    letter_id = await add(queue, store, 1)
    assert run(["show", letter_id, "--raw"], store) == (0, PAYLOAD, "")


async def test_replay(letters: Command, queue: Redis, store: Store) -> None:
    """A letter goes back into the stream once; a second time it is said to be gone."""
    first, second = [await add(queue, store, n) for n in (1, 2)]
    assert await letters("replay", first) == (0, "Replayed 1 dead letter.\n", "")
    again = await letters("replay", first, second, first)
    assert (again.status, again.out) == (1, "Replayed 1 dead letter.\n")
    assert again.err == (
        f"contox-ingest: There is no dead letter {first}, or not any more;"
        " list them with: contox-ingest dead-letters list\n"
    )
    assert await queue.xlen(stream_key(0)) == 2
    assert await totals(queue, store) == Totals(accepted=2)


async def test_replay_all(letters: Command, queue: Redis, store: Store) -> None:
    """All letters of a project, or all there are, go back."""
    for n in range(1, 5):
        await add(queue, store, n, project_id=store.project if n < 4 else "proj_2")
    assert (await letters("replay", "--all", "--project", "demo")).out == (
        "Replayed 3 dead letters.\n"
    )
    assert await totals(queue, store) == Totals(accepted=3)
    assert (await letters("replay", "--all")).out == "Replayed 1 dead letter.\n"


async def test_replay_something_else(letters: Command, queue: Redis) -> None:
    """What is no dead letter stays, and the command says so."""
    await queue.xadd(dead_letter_key(0), {"x": "y"})
    result = await letters("replay", "--all")
    assert result == (
        1,
        "Replayed 0 dead letters.\n",
        "contox-ingest: 1 cannot be replayed: see contox-ingest dead-letters show ID\n",
    )
    assert await queue.xlen(dead_letter_key(0)) == 1


async def test_purge(letters: Command, queue: Redis, store: Store) -> None:
    """With --yes nothing is asked; what is purged is counted."""
    first, _ = [await add(queue, store, n) for n in (1, 2)]
    assert await letters("purge", first, "--yes") == (0, "Purged 1 dead letter.\n", "")
    assert await totals(queue, store) == Totals(accepted=2, dead=1, purged=1)
    result = await letters("purge", "--all", "--project", "demo", "--yes")
    assert result.out == "Purged 1 dead letter.\n"
    assert await totals(queue, store) == Totals(accepted=2, purged=2)


async def test_purge_without_terminal(letters: Command, queue: Redis, store: Store) -> None:
    """Where nobody can be asked, nothing is purged without --yes."""
    letter_id = await add(queue, store, 1)
    result = await letters("purge", letter_id)
    assert result == (
        1,
        "",
        "contox-ingest: Purge 1 dead letter? Without a terminal nobody can be asked;"
        " give --yes to do it.\n",
    )
    assert await queue.xlen(dead_letter_key(0)) == 1


@pytest.mark.parametrize("answer", ["y", "n", "", "yesterday"])
async def test_purge_asks(queue: Redis, store: Store, answer: str) -> None:
    """On a terminal the question says how many, of which project; only yes purges."""
    for n in range(1, 13):
        await add(queue, store, n)
    terminal, stdin = os.openpty()
    os.write(terminal, answer.encode() + b"\n")
    result = run(["purge", "--all", "--project", "demo"], store, stdin)
    os.close(stdin)
    os.close(terminal)
    question = "Purge 12 dead letters of project demo? They cannot be brought back. [y/N] "
    left = await queue.xlen(dead_letter_key(0))
    if answer == "y":
        assert (result, left) == ((0, "Purged 12 dead letters.\n", question), 0)
    else:
        told = f"{question}contox-ingest: Nothing was purged.\n"
        assert (result, left) == ((1, "", told), 12)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "0-1-0"], "There is no dead letter 0-1-0; list them with: "),
        (["show", "x"], "'x': an id of a dead letter looks like 0-1732531234567-0; list them"),
        (["list", "--cursor", "x"], "--cursor: an id of a dead letter looks like "),
        (["list", "--project", "no"], "There is no project 'no'; list them with: "),
        (["replay"], "Name dead letters by their ids, or give --all; list them with: "),
        (["purge", "--all", "0-1-0"], "Name dead letters by their ids, or give --all; list them"),
        (["purge", "0-1-0", "--project", "demo"], "--project goes with --all; "),
        (["purge", "0-1-0", "--yes"], "There is no dead letter 0-1-0, or not any more; list"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
async def test_slips(letters: Command, arguments: list[str], told: str) -> None:
    """What is wrong is one sentence that says what to do."""
    result = await letters(*arguments)
    assert result.status == 1
    assert result.err.startswith(f"contox-ingest: {told}")
    assert result.err.count("\n") == 1


async def test_queue_does_not_run(command: Command, store: Store) -> None:
    """Without the `up` of the directory its queue cannot be reached, and a sentence says so."""
    result = await command("dead-letters", "list", "--data-dir", store.data_dir)
    assert result == (
        1,
        "",
        f"contox-ingest: The queue of {store.data_dir} does not run; start it with"
        " `contox-ingest up`, or name another with CONTOX_REDIS_URL.\n",
    )


async def test_queue_is_away(letters: Command) -> None:
    """A queue that does not answer is a sentence with the cause and what to check."""
    result = await letters("list", CONTOX_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert result.status == 1
    assert result.err.startswith("contox-ingest: The queue failed: Error ")
    assert result.err.endswith("; does `contox-ingest up` run, or is CONTOX_REDIS_URL right?\n")


async def test_by_variables(command: Command, store: Store, queue: Redis) -> None:
    """In a container the variables of the gateway name store and queue."""
    letter_id = await add(queue, store, 1)
    result = await command("dead-letters", "list", "--project", "demo", "--json", **store.environ)
    assert [letter["id"] for letter in result.json] == [letter_id]
