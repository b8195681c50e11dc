"""Gateway and worker as processes of their own: how they start, refuse to start, and stop."""

import asyncio
import base64
import json
import signal
import socket
from typing import Any

import pytest
from redis.asyncio import Redis

from core.settings import table
from tests.cli.conftest import Child, Command, Spawn, Store, free_port, until

OTHER_KEY = base64.b64encode(bytes(range(32))).decode()


def logged(child: Child, event: str = "") -> list[dict[str, Any]]:
    """The log's lines so far, or those of one event."""
    lines = [json.loads(line) for line in child.err.splitlines() if line.startswith("{")]
    return [line for line in lines if event in ("", line["event"])]


@pytest.fixture
def environ_of_roles(store: Store) -> dict[str, str]:
    """Settings for a gateway and a worker on free ports, with the project `demo`."""
    ports = {"CONTOX_PORT": str(free_port()), "CONTOX_WORKER_PORT": str(free_port())}
    return {**store.environ, **ports}


async def test_path_of_an_event(
    spawn: Spawn, command: Command, store: Store, queue: Redis, environ_of_roles: dict[str, str]
) -> None:
    """A gateway and a worker bring an event to the store; SIGTERM ends each with status 0."""
    gateway = spawn("gateway", **environ_of_roles)
    worker = spawn("worker", **environ_of_roles)
    until(lambda: logged(gateway, "queue connected") and logged(gateway, "gateway listens"))
    until(lambda: logged(worker, "worker drains"))
    url = f"http://127.0.0.1:{environ_of_roles['CONTOX_PORT']}"
    credentials = ("--url", url, "--project", store.project, "--secret", store.secret)
    sent = await command("send", *credentials, "saved", '{"n":1.0}', "--json")
    assert sent.status == 0
    listing = ("events", "--project", "demo", "--json")
    async with asyncio.timeout(20):
        while not (shown := await command(*listing, **store.environ)).json:
            await asyncio.sleep(0.05)
    assert [event["eventId"] for event in shown.json] == [sent.json["eventId"]]
    assert '"payload": {"n":1.0},' in shown.out
    assert (gateway.stop().status, worker.stop().status) == (0, 0)
    assert logged(gateway, "gateway stops")
    assert await queue.xlen("ingest:{0}") == 0


async def test_ready(spawn: Spawn, command: Command, environ_of_roles: dict[str, str]) -> None:
    """`ready` succeeds while a role works on this host's ports, and fails before and after."""
    port, worker_port = (environ_of_roles[f"CONTOX_{n}PORT"] for n in ("", "WORKER_"))
    nobody = f"contox-ingest: Nothing listens on 127.0.0.1 port {port} or {worker_port}.\n"
    assert await command("ready", **environ_of_roles) == (1, "", nobody)
    worker = spawn("worker", **environ_of_roles)
    async with asyncio.timeout(20):
        while (result := await command("ready", **environ_of_roles)).status:
            await asyncio.sleep(0.05)
    assert (result.err, result.json) == ("", {"status": "ready", "missing": [], "degraded": []})
    assert (await command("ready", "worker", **environ_of_roles)).status == 0
    other = f"contox-ingest: Nothing listens on 127.0.0.1 port {port}.\n"
    assert await command("ready", "gateway", **environ_of_roles) == (1, "", other)
    assert worker.stop(signal.SIGINT).status == 0
    assert await command("ready", **environ_of_roles) == (1, "", nobody)


async def test_without_queue(
    spawn: Spawn, command: Command, environ_of_roles: dict[str, str]
) -> None:
    """With the queue away a gateway waits for it, unready; what it logs hides passwords."""
    environ_of_roles["CONTOX_REDIS_URL"] = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    gateway = spawn("gateway", CONTOX_PROT="1", CONTOX_URL="http://x", **environ_of_roles)
    until(lambda: logged(gateway, "gateway listens") and logged(gateway, "queue away"))
    result = await command("ready", **environ_of_roles)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith('contox-ingest: Not ready: {"status":"unready","missing":["The q')
    assert gateway.stop().status == 0
    (settings,) = logged(gateway, "settings")
    assert settings["redis_url"].startswith("redis://:***@127.0.0.1:")
    assert (settings["master_key"], settings["role"]) == ("***", "gateway")
    assert "hunter2" not in gateway.err
    assert environ_of_roles["CONTOX_MASTER_KEY"] not in gateway.err
    warned = [line["event"] for line in logged(gateway) if line["level"] == "warning"]
    assert warned == ["CONTOX_PROT is not a setting; did you mean CONTOX_PORT?"]


REFUSED = {
    "no-key": ("gateway", {"CONTOX_MASTER_KEY": ""}, "CONTOX_MASTER_KEY is not set; make one with"),
    "other-key": (
        "gateway",
        {"CONTOX_MASTER_KEY": OTHER_KEY},
        "CONTOX_MASTER_KEY is not the key that the store's secrets are sealed with.",
    ),
    "half-a-key": ("worker", {"CONTOX_MASTER_KEY": "abc"}, "CONTOX_MASTER_KEY must be 32 bytes"),
    "address": ("gateway", {"CONTOX_HOST": "192.0.2.1"}, "The gateway cannot start: "),
}


@pytest.mark.parametrize(("role", "changed", "told"), REFUSED.values(), ids=REFUSED)
def test_refuses_to_start(
    spawn: Spawn, environ_of_roles: dict[str, str], role: str, changed: dict[str, str], told: str
) -> None:
    """A role that cannot do its work ends at its start with one sentence and status 1."""
    result = spawn(role, **{**environ_of_roles, **changed}).wait()
    assert_refused(result.status, result.err, told)


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_store_away(spawn: Spawn, environ_of_roles: dict[str, str], role: str) -> None:
    """A file that cannot be opened as the store ends the start with status 1, and is named."""
    environ_of_roles["CONTOX_DATABASE_URL"] = "sqlite:////nowhere/a.db"
    result = spawn(role, **environ_of_roles).wait()
    told = "contox-ingest: CONTOX_DATABASE_URL cannot be used: unable to open database file"
    assert result.status == 1
    assert f"{told}\n" in result.err


@pytest.mark.parametrize(("role", "name"), [("gateway", ""), ("worker", "WORKER_")])
def test_taken_port(spawn: Spawn, environ_of_roles: dict[str, str], role: str, name: str) -> None:
    """A port that is taken ends the start with one sentence and status 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = spawn(role, **{**environ_of_roles, f"CONTOX_{name}PORT": str(port)}).wait()
    assert_refused(result.status, result.err, f"The {role} cannot start: [Errno 98] ")
    assert str(port) in result.err.splitlines()[-1]


def assert_refused(status: int, err: str, told: str) -> None:
    """Status 1, and behind the log's lines one sentence."""
    *log, last = err.splitlines()
    assert status == 1
    assert last.startswith(f"contox-ingest: {told}")
    assert all(line.startswith("{") for line in log)


async def test_settings(command: Command) -> None:
    """Every setting is listed with its variable, default and meaning, for people and programs."""
    rows = [(f"CONTOX_{name.upper()}", default, meta["help"]) for name, default, meta in table()]
    listed = (await command("settings", "--json")).json
    assert [(s["variable"], s["default"], s["help"]) for s in listed] == rows
    head, *lines = (await command("settings")).out.splitlines()
    assert head.split() == ["variable", "default", "meaning"]
    for line, (variable, default, help_) in zip(lines, rows, strict=True):
        assert line.split() == f"{variable} {default} {help_}".split()


def test_worker_without_queue(spawn: Spawn, environ_of_roles: dict[str, str]) -> None:
    """A worker says that the queue is away also when it has never been there."""
    environ_of_roles["CONTOX_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
    worker = spawn("worker", **environ_of_roles)
    until(lambda: logged(worker, "queue away"))
    assert worker.stop().status == 0
