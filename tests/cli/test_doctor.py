"""`doctor` as people run it: on a healthy stack, on parts that are away, with --json."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.datadir import DataDir
from runtime.queue import open_queue
from tests.cli.conftest import Command, Result, Spawn, Stack, Store, Target, until
from tests.cli.flow import append
from tests.conftest import QueueServer

QUEUE, STORE, HOST, LEDGER = "queue", "store", "host", "ledger"


def by_group(result: Result, group: str) -> list[tuple[str, str]]:
    """(promise, status) of a group's findings."""
    found = result.json["findings"]
    return [(f["promise"], f["status"]) for f in found if f["group"] == group]


async def test_healthy(command: Command, store: Store, target: Target) -> None:
    """On a healthy stack nothing is broken: status 0, and every group is told."""
    result = await command("doctor", "--json", **store.environ)
    assert (result.status, result.err) == (0, "")
    assert {f["group"] for f in result.json["findings"]} == {QUEUE, STORE, HOST, LEDGER}
    assert {s for g in (QUEUE, STORE) for _, s in by_group(result, g)} == {"holds"}
    assert list(result.json["findings"][0]) == [
        "group",
        "promise",
        "status",
        "found",
        "change",
        "command",
    ]


async def test_table(command: Command, store: Store, target: Target) -> None:
    """A person reads the same as a table, and a summary."""
    result = await command("doctor", **store.environ)
    lines = [line.rstrip() for line in result.out.splitlines()]
    assert (result.status, lines[0]) == (0, "queue")
    assert lines[1].split("  ")[0] == "ok"
    assert ", 0 broken, " in lines[-1]


async def test_lost_event(command: Command, store: Store, target: Target) -> None:
    """A loss is told by the project's name, with the way to accept it; status 1."""
    await append(target.queue, store.project, 12)
    await target.queue.delete("ingest:{0}")
    result = await command("doctor", **store.environ)
    assert result.status == 1
    assert "demo: 12 events accepted and lost (ingest:{0} 1 entry missing)" in result.out
    assert "contox-ingest ledger write-off" in result.out


async def test_queue_away(command: Command, store: Store, own_queue_server: QueueServer) -> None:
    """A queue that is stopped is one broken finding; what needs it is not checked."""
    own_queue_server.stop()
    environ = {**store.environ, "CONTOX_REDIS_URL": own_queue_server.url}
    result = await command("doctor", "--json", **environ)
    own_queue_server.start()
    assert (result.status, result.json["status"]) == (1, "broken")
    first, *others = by_group(result, QUEUE)
    assert first == ("The queue can be reached", "broken")
    assert len(others) == 11
    assert {status for _, status in others + by_group(result, LEDGER)} == {"unchecked"}
    assert result.json["findings"][-1]["found"] == "it takes both the queue and the store"
    assert {status for _, status in by_group(result, STORE)} == {"holds"}
    finding = result.json["findings"][0]
    assert finding["command"] == f"redis-cli -u {own_queue_server.url} PING"


async def test_up_is_not_running(command: Command, store: Store) -> None:
    """In the data directory of an `up` that does not run, the next step is to run it."""
    result = await command("doctor", "--json", "--data-dir", store.data_dir)
    finding = result.json["findings"][0]
    assert (finding["status"], finding["command"]) == (
        "broken",
        f"contox-ingest up --data-dir {store.data_dir}",
    )


async def test_wrong_password(
    command: Command, store: Store, own_queue_server: QueueServer
) -> None:
    """A wrong password is told as that, and never shown."""
    url = own_queue_server.url.replace("//", "//:hunter2@")
    result = await command("doctor", "--json", **{**store.environ, "CONTOX_REDIS_URL": url})
    assert result.json["findings"][0]["change"] == "Set user and password in CONTOX_REDIS_URL."
    assert "hunter2" not in result.out


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_nothing_hangs(
    command: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that take connections and say nothing are given up after their time limits."""
    monkeypatch.setattr("cli.doctor.CHECK_TIMEOUT_S", 1)
    async with silent_server() as port:
        environ = {
            "CONTOX_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "CONTOX_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{port}/none",
            "CONTOX_PORT": str(port),
            "CONTOX_WORKER_PORT": str(port),
        }
        started_s = time.monotonic()
        result = await command("doctor", "--json", **{**store.environ, **environ})
    assert result.status == 1
    assert time.monotonic() - started_s < 15
    broken = [f["promise"] for f in result.json["findings"] if f["status"] == "broken"]
    assert broken == [
        "The queue can be reached",
        "The store can be reached",
        "The gateway is ready",
        "The worker is ready",
    ]


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/a.db", "postgresql://nobody:hunter2@127.0.0.1:1/none"]
)
async def test_store_away(command: Command, store: Store, url: str) -> None:
    """A store that cannot be reached is one broken finding, and no file is made."""
    environ = {**store.environ, "CONTOX_DATABASE_URL": url}
    result = await command("doctor", "--json", **environ)
    assert (result.status, by_group(result, STORE)) == (
        1,
        [
            ("The store can be reached", "broken"),
            ("The store's version is supported", "unchecked"),
            ("The store has this version's schema", "unchecked"),
            ("The projects' secrets can be opened", "unchecked"),
        ],
    )
    assert {status for _, status in by_group(result, LEDGER)} == {"unchecked"}
    assert "hunter2" not in result.out


async def test_missing_file(command: Command, store: Store, tmp_path: Path) -> None:
    """A file of SQLite's that is not there is broken, and not made by looking."""
    environ = {**store.environ, "CONTOX_DATABASE_URL": f"sqlite:///{tmp_path}/missing.db"}
    result = await command("doctor", "--json", **environ)
    assert by_group(result, STORE)[0] == ("The store can be reached", "broken")
    assert not (tmp_path / "missing.db").exists()


async def test_empty_file(command: Command, store: Store, tmp_path: Path) -> None:
    """A database without tables is not migrated; the ledger says that it cannot be read."""
    (tmp_path / "empty.db").touch()
    environ = {**store.environ, "CONTOX_DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}
    for _ in range(2):
        result = await command("doctor", "--json", **environ)
        assert by_group(result, STORE)[2] == ("The store has this version's schema", "broken")
        assert {status for _, status in by_group(result, LEDGER)} == {"unchecked"}


@pytest.mark.xdist_group("postgres")
async def test_postgres(command: Command, store: Store, postgres: AsyncEngine) -> None:
    """PostgreSQL is examined alike; a project is wanted there, too."""
    url = postgres.url.set(drivername="postgresql").render_as_string(hide_password=False)
    environ = {**store.environ, "CONTOX_DATABASE_URL": url}
    result = await command("doctor", "--json", **environ)
    assert [s for _, s in by_group(result, STORE)] == ["holds", "holds", "holds", "warning"]


async def test_no_store(command: Command) -> None:
    """Where there is no store at all, one sentence says how to begin."""
    result = await command("doctor")
    assert (result.status, result.out) == (1, "")
    assert "make one with `contox-ingest up`" in result.err


async def test_under_up(spawn: Spawn, command: Command, tmp_path: Path) -> None:
    """Under `up` every promise is checked and holds, and a dead letter is told with its remedy."""
    stack = Stack(tmp_path)
    try:
        stack.wait_ready()
        directory = DataDir(stack.data_dir)
        until(directory.running)
        where = ("--data-dir", stack.data_dir)
        async with asyncio.timeout(20):
            while (result := await command("doctor", "--json", *where)).status:
                await asyncio.sleep(0.2)
        statuses = {f["promise"]: f["status"] for f in result.json["findings"]}
        assert statuses["The gateway is ready"] == statuses["The worker is ready"] == "holds"
        assert {s for g in (QUEUE, STORE, LEDGER) for _, s in by_group(result, g)} == {"holds"}
        result = await command("doctor", *where, CONTOX_ACK="memory", CONTOX_CONNECTIONS_MAX="1")
        assert (result.status, "memory: a 202 says" in result.out) == (0, True)
        told = await with_dead_letter(command, directory)
        assert "contox-ingest dead-letters list" in told
    finally:
        stack.stop()
        stack.end()


async def with_dead_letter(command: Command, directory: DataDir) -> str:
    """What the doctor says with a dead letter there."""
    client = open_queue(json.loads(directory.stack.read_text())["redisUrl"])
    await client.xadd("ingest:{0}:dead", {"why": "broken"})
    await client.aclose()
    result = await command("doctor", "--data-dir", directory.path)
    return result.out
