"""What people do with the published clients, against a stack: each request that these make, and
each member of an answer that they read; what is stored is byte for byte what they signed."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Stack, wait_until
from tests.system.published import (
    TEAM,
    Api,
    CommandLine,
    Extension,
    Failed,
    McpServer,
    Members,
    stringify,
)

PAGE = (Path(__file__).parent.parent.parent / "docs/PROTOCOL.md").read_text()
CUT = "😀"  # two UTF-16 units, of which a client may cut off the second


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all."""
    running = Stack(tmp_path_factory.mktemp("published"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def api(stack: Stack) -> Api:
    """The address, and a key."""
    return Api(stack.ready["url"], stack.ready["apiKey"])


@pytest.fixture
def command_line(stack: Stack, api: Api) -> CommandLine:
    """The command line, of the demo project."""
    return CommandLine(api, stack.ready["projectId"], stack.ready["hmacSecret"])


def stored(api: Api, project: str, answer: Members) -> tuple[Members, bytes]:
    """(the event that an answer names, as it is shown; the bytes of that)."""
    assert sorted(answer) == ["eventId", "sessionId", "status"]
    assert answer["status"] == "accepted"
    path = f"/api/v2/events/{answer['eventId']}?projectId={project}"
    wait_until(lambda: api.raw("GET", path)[0] == 200, 10)
    shown: Members = api.fetch("GET", path)
    assert shown["sessionId"] == answer["sessionId"]
    return shown, api.raw("GET", path)[1]


def check(api: Api, project: str, event: Members, answer: Members, source: str) -> None:
    """The event is stored of this client, with the bytes that were signed."""
    shown, text = stored(api, project, answer)
    assert (shown["event"], shown["source"]) == (event["type"], source)
    assert f'"payload":{stringify(event)},'.encode() in text
    listed = api.raw("GET", f"/api/v2/events?projectId={project}")[1]
    assert stringify(event).encode() in listed


@pytest.mark.parametrize("summary", ["Built the sign-in — with 🔑", "x" * 79 + CUT, CUT * 41])
def test_save(api: Api, command_line: CommandLine, summary: str) -> None:
    """`save` is stored, its title cut after 80 units, also where that is within an emoji."""
    event, answer = command_line.save(summary)
    check(api, command_line.project, event, answer, "cli")


def test_collect(api: Api, command_line: CommandLine) -> None:
    """`collect` is stored, with the commit that it is of and diffs cut after 4,000 units."""
    diffs = {"a.py": "+" * 3_999 + CUT, "b.py": "-\\\"'\t\r\n\x7f"}
    event, answer = command_line.collect(diffs, {"f00" * 13 + "f": "fix: ü", "b" * 40: "first"})
    check(api, command_line.project, event, answer, "cli")
    assert event["headCommitSha"] in stringify(event)


def test_init(api: Api) -> None:
    """`init` makes a project, and finds it in the list; of a wrong key it is told why."""
    made = api.fetch("POST", "/api/projects", {"name": "from init", "teamId": TEAM})
    assert made["name"] == "from init"
    listed = api.projects(teamId=TEAM)
    assert made["id"] in [project["id"] for project in listed]
    read = {"id", "name", "description", "status", "createdAt", "updatedAt"}
    assert all(read <= project.keys() for project in listed)
    with pytest.raises(Failed, match="401: Invalid or missing authentication credentials"):
        api._replace(key="contox_sk_" + "a" * 43).projects(teamId=TEAM)


@pytest.mark.parametrize("commit", [{}, {"headCommitSha": "a" * 40}], ids=["plain", "of-a-commit"])
def test_mcp_server(api: Api, commit: Members) -> None:
    """The server's project is the one of the repository's name, made if there is none."""
    server = McpServer(api)
    name = f"repo & more {len(commit)}"
    made = server.resolve(name)
    assert made["name"] == name
    assert server.resolve(name) == made != server.resolve("another")
    change = {"category": "decisions", "title": "t", "content": "c"}
    event = {"type": "mcp_save", "summary": "s", "changes": [change], **commit}
    check(api, made["id"], event, server.save_session(made["id"], event), "mcp-server")


@pytest.mark.parametrize("editor", ["vscode", "cursor", "windsurf", "antigravity"])
def test_extension(api: Api, editor: str) -> None:
    """A project is chosen, its secret fetched, and a commit captured, by each kind of editor."""
    api.fetch("POST", "/api/projects", {"name": editor})
    extension = Extension.set_up(api, editor, editor)
    event, answer = extension.capture("fix: " + CUT * 248)
    check(api, extension.project, event, answer, editor)


def test_end_session(api: Api) -> None:
    """A session that ends takes what was captured before; what comes after is in the next one."""
    api.fetch("POST", "/api/projects", {"name": "sessions"})
    extension = Extension.set_up(api, "sessions")
    assert extension.sessions() == []
    _, before = extension.capture("one")
    closed, opened = extension.end_session("two")
    assert before["sessionId"] == closed != opened
    _, after = extension.capture("three")
    assert after["sessionId"] == opened
    stored(api, extension.project, after)
    newest, older = extension.sessions()
    seen = [(s["id"], s["status"], s["messageCount"], s["source"]) for s in (newest, older)]
    assert seen == [(opened, "active", 1, "vscode"), (closed, "closed", 2, None)]
    for session in (newest, older):  # read, too: the time of the last save, and a summary
        assert datetime.fromisoformat(session["updatedAt"])
        assert session["summary"] is None
        assert session["projectId"] == extension.project


def test_watched_session(api: Api) -> None:
    """A session that somebody else closes is seen to be closed, and is not opened again."""
    api.fetch("POST", "/api/projects", {"name": "watched"})
    extension = Extension.set_up(api, "watched")
    _, answer = extension.capture("one")
    api.fetch("PATCH", f"/api/v2/sessions/{answer['sessionId']}", {"status": "closed"})
    assert not [s for s in extension.sessions() if s["status"] == "active"]
    assert extension.capture("two")[1]["sessionId"] != answer["sessionId"]


def out_of_contract() -> list[str]:
    """The requests that the page says are answered 404."""
    section = PAGE.partition("### The published clients")[2].partition("\n## ")[0]
    return re.findall(r"`((?:GET|POST|PATCH|DELETE) /api/[^`]+)`", section.partition("404")[2])


def test_out_of_contract(api: Api, command_line: CommandLine) -> None:
    """What else the clients ask for is a 404 with an `error` that they can show, as documented."""
    requests = out_of_contract()
    assert len(requests) > 8
    _, answer = command_line.save("one")
    for request in requests:
        method, path = request.split()
        path = path.replace("{id}", answer["sessionId"])
        body: Any = {"name": "x", "projectId": command_line.project}
        with pytest.raises(Failed) as caught:
            api.fetch(method, path, None if method == "GET" else body)
        assert caught.value.status == 404, request
