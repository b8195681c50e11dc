"""`up` as a newcomer runs it: its output is pasted into bash, its parts and itself are killed.

One stack serves the tests that leave it as it was; those that end it have their own.
"""

import asyncio
import json
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from tests.cli.conftest import (
    SCRIPT,
    Command,
    Spawn,
    Stack,
    ended,
    paste,
    until,
)

PARTS = ["gateway", "valkey-server", "worker"]

pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that runs as long as this module."""
    stack = Stack(tmp_path_factory.mktemp("up"))
    try:
        yield stack.wait_ready()
    finally:
        stack.end()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[list[Stack]]:
    """Stacks of the test's own, that end with it."""
    stacks: list[Stack] = []
    yield stacks
    for stack in stacks:
        stack.end()


def printed(stack: Stack, word: str) -> str:
    """The line that `up` has printed with this word in it."""
    (line,) = [line for line in stack.out.splitlines() if word in line]
    return line


async def stored(command: Command, stack: Stack, *arguments: object) -> list[str]:
    """The ids of the events that `events` shows, newest first."""
    where = ("--project", "demo", "--data-dir", stack.data_dir, "--json")
    return [event["eventId"] for event in (await command("events", *where, *arguments)).json]


async def arrives(command: Command, stack: Stack, identity: str) -> None:
    """Wait until an event is shown."""
    async with asyncio.timeout(20):
        while identity not in await stored(command, stack):
            await asyncio.sleep(0.05)


async def send(command: Command, ready: dict[str, str]) -> str:
    """Send an event with what the ready file says; returns its id."""
    credentials = {
        "CONTOX_URL": ready["url"],
        "CONTOX_PROJECT": ready["projectId"],
        "CONTOX_SECRET": ready["hmacSecret"],
    }
    sent = await command("send", "saved", "--json", **credentials)
    assert sent.status == 0, sent.err
    identity: str = sent.json["eventId"]
    return identity


def test_ready_file(stack: Stack) -> None:
    """The ready file says where, who and with which secret; only its owner can read it."""
    assert sorted(stack.ready) == ["apiKey", "hmacSecret", "projectId", "url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", stack.ready["url"])
    assert re.fullmatch(r"proj_[0-9A-Z]{26}", stack.ready["projectId"])
    assert re.fullmatch(r"whsec_[0-9a-f]{64}", stack.ready["hmacSecret"])
    assert re.fullmatch(r"contox_sk_[0-9A-Za-z]{43}", stack.ready["apiKey"])
    assert stat.S_IMODE(stack.ready_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.data_dir.stat().st_mode) == 0o700


def test_printed(stack: Stack) -> None:
    """Address, project and secret are printed once, and nothing is said on standard error."""
    assert printed(stack, "URL ").split() == ["URL", stack.ready["url"]]
    project = ["project", stack.ready["projectId"], "(name:", "demo)"]
    assert printed(stack, "(name: ").split() == project
    assert printed(stack, "  secret ").split() == ["secret", stack.ready["hmacSecret"]]
    assert stack.err == ""


async def test_curl(stack: Stack, command: Command) -> None:
    """The printed curl line is answered 202; pasted again it is the same event, stored once."""
    line = printed(stack, "--data-binary")
    first = paste(line + " -w '%{http_code}'", stack.data_dir)
    sent_s = int(time.time())
    until(lambda: int(time.time()) > sent_s)  # it is signed for another second
    second = paste(line, stack.data_dir)
    assert (first.err, second.err) == ("", "")
    assert first.out.endswith("}202")
    answer = json.loads(first.out[:-3])
    assert sorted(answer) == ["eventId", "sessionId", "status"]
    assert answer["status"] == "accepted"
    assert second.json == answer
    await arrives(command, stack, answer["eventId"])
    later = await send(command, stack.ready)
    await arrives(command, stack, later)  # what came before it is stored by then
    assert (await stored(command, stack)).count(answer["eventId"]) == 1


async def test_send_line(stack: Stack, command: Command) -> None:
    """The printed send line works from the same directory, each time as another event."""
    results = [paste(printed(stack, " send --url "), stack.data_dir.parent) for _ in range(2)]
    found = [re.match(r"Accepted \(fsynced\): event (\S+), ", result.out) for result in results]
    identities = {match.group(1) for match in found if match}
    assert {UUID(identity).version for identity in identities} == {7}
    assert len(identities) == 2
    for identity in identities:
        await arrives(command, stack, identity)


async def test_events_line(stack: Stack, command: Command) -> None:
    """The printed events line shows what was sent, as a table."""
    identity = await send(command, stack.ready)
    await arrives(command, stack, identity)
    result = paste(printed(stack, " events --project "), stack.data_dir.parent)
    assert result.status == 0
    assert result.out.splitlines()[1].split()[1:] == ["saved", identity, "{}"]


def test_operator_token(stack: Stack) -> None:
    """The token in the data directory opens the ledger over HTTP."""
    token = (stack.data_dir / "operator.token").read_text().strip()
    url = f"{stack.ready['url']}/api/projects/{stack.ready['projectId']}/ledger"
    assert paste(f"curl -sS {url} -H 'Authorization: Bearer {token}'", stack.data_dir).json[
        "balanced"
    ]
    refused = paste(f"curl -sS {url} -H 'Authorization: Bearer {token}x'", stack.data_dir)
    assert refused.json["code"] == "unauthorized"


def test_parts(stack: Stack) -> None:
    """The command lines of the children name their roles, and hold no secret."""
    parts = stack.parts()
    assert sorted(parts) == PARTS
    running = json.loads((stack.data_dir / "stack.json").read_text())
    password = running["redisUrl"].partition("//:")[2].partition("@")[0]
    lines = [" ".join(part.cmdline()) for part in parts.values()]
    token = (stack.data_dir / "operator.token").read_text().strip()
    for secret in (password, stack.ready["hmacSecret"], token):
        assert not any(secret in line for line in lines)


async def test_project_commands(stack: Stack, command: Command) -> None:
    """A project made beside a running stack can send at once, and a rotation is announced."""
    where = ("--json", "--data-dir", stack.data_dir)
    created = (await command("project", "create", "two", *where)).json
    await send(command, {**stack.ready, **created})
    rotated = await command("project", "rotate-secret", "two", "--grace-seconds", 0, *where)
    assert (rotated.status, rotated.err) == (0, "")
    old = ("--url", stack.ready["url"], "--project", created["projectId"])
    refused = await command("send", "saved", *old, "--secret", created["hmacSecret"])
    assert (refused.status, refused.out) == (1, "")
    await send(command, {**stack.ready, **rotated.json})


@pytest.mark.parametrize("role", PARTS)
async def test_killed_part(stack: Stack, command: Command, role: str) -> None:
    """A part that is killed is started again, and events flow again; what was stored stays."""
    before = await send(command, stack.ready)
    await arrives(command, stack, before)
    killed = stack.parts()[role]
    killed.kill()
    until(lambda: ended(killed))
    identity = await send(command, stack.ready)
    await arrives(command, stack, identity)
    assert sorted(stack.parts()) == PARTS
    assert stack.parts()[role].pid != killed.pid
    assert before in await stored(command, stack)
    assert f'"part": "{role}"' in stack.err


def test_same_directory(stack: Stack, spawn: Spawn) -> None:
    """A second `up` on the directory ends with one sentence; the first one runs on."""
    result = spawn("up", "--port", 0, "--data-dir", stack.data_dir).wait()
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    told = (
        f"contox-ingest: Another contox-ingest up uses {stack.data_dir}; stop it, or name another"
    )
    assert result.err.startswith(told)
    assert (stack.data_dir / "stack.json").exists()
    assert sorted(stack.parts()) == PARTS


def test_taken_port(stack: Stack, spawn: Spawn, tmp_path: Path) -> None:
    """`up` on a port that is taken ends with one sentence, before anything is made."""
    port = stack.ready["url"].rpartition(":")[2]
    result = spawn("up", "--port", port, "--data-dir", tmp_path / "data").wait()
    told = f"contox-ingest: Cannot listen on 127.0.0.1 port {port}: Address already in use;"
    assert result == (1, "", f"{told} choose another with --port.\n")
    assert not (tmp_path / "data").exists()


def test_wrong_setting(spawn: Spawn, tmp_path: Path) -> None:
    """A wrong setting stops the start with one sentence that names it, before anything is made."""
    options = ("--port", 0, "--data-dir", tmp_path / "data")
    result = spawn("up", *options, CONTOX_ACK="maybe").wait()
    told = "CONTOX_ACK must be memory, fsynced or replicated:N, N from 1 to 99"
    assert result == (1, "", f"contox-ingest: {told}.\n")
    assert not (tmp_path / "data").exists()


def test_ctrl_c(own: list[Stack], tmp_path: Path) -> None:
    """Ctrl-C ends every part, with status 0 and one line; the ready file is gone with them."""
    own.append(Stack(tmp_path).wait_ready())
    parts = list(own[0].parts().values())
    result = own[0].stop(signal.SIGINT)
    assert (result.status, result.err) == (0, "Stopping; what has been accepted is kept.\n")
    assert all(map(ended, parts))
    assert not own[0].ready_file.exists()
    assert not (own[0].data_dir / "stack.json").exists()


async def test_killed(own: list[Stack], tmp_path: Path, command: Command) -> None:
    """SIGKILL takes the parts along; the next start has the same project, secret and events."""
    own.append(Stack(tmp_path).wait_ready())
    identity = await send(command, own[0].ready)
    parts = list(own[0].parts().values())
    own[0].process.kill()
    own[0].process.wait()
    until(lambda: all(map(ended, parts)))
    own.append(Stack(tmp_path))
    until(own[1].parts)
    assert not own[1].ready_file.exists()  # the old one is in nobody's way
    own[1].wait_ready()
    for name in ("projectId", "hmacSecret"):
        assert own[1].ready[name] == own[0].ready[name]
    await arrives(command, own[1], identity)
    assert own[1].stop(signal.SIGTERM).status == 0
    assert await stored(command, own[1]) == [identity]


def test_ctrl_c_at_the_start(own: list[Stack], tmp_path: Path) -> None:
    """Ctrl-C before everything is ready ends what has been started, with status 0."""
    own.append(Stack(tmp_path))
    until(own[0].parts)
    parts = list(own[0].parts().values())
    assert own[0].stop(signal.SIGINT).status == 0
    assert all(map(ended, parts))
    assert not own[0].ready_file.exists()


def test_impossible_ready_file(spawn: Spawn, tmp_path: Path) -> None:
    """A ready file below a file is one sentence, before anything is started."""
    path = Path(SCRIPT) / "ready.json"
    result = spawn("up", "--port", 0, "--data-dir", tmp_path / "d", "--ready-file", path).wait()
    told = f"contox-ingest: The ready file {path} cannot be written: Not a directory.\n"
    assert result == (1, "", told)


def test_unwritable_ready_file(spawn: Spawn, tmp_path: Path) -> None:
    """A ready file that cannot be written ends the start with one sentence, and all parts; the
    admin that was made is shown, for that is the only time."""
    path = tmp_path / "missing" / "ready.json"
    child = spawn("up", "--port", 0, "--data-dir", tmp_path / "data", "--ready-file", path)
    parts = until(lambda: psutil.Process(child.process.pid).children())
    told = f"contox-ingest: The ready file {path} cannot be written: No such file or directory.\n"
    result = child.wait()
    assert (result.status, result.err) == (1, told)
    assert result.out.startswith("\nAn admin, and an API key of theirs;")
    assert all(map(ended, parts))
