"""The curl lines of docs/PROTOCOL.md, pasted into a shell as they are: the documented shapes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.system.conftest import Stack, wait_until

PAGE = (Path(__file__).parent.parent.parent / "docs/PROTOCOL.md").read_text()
PROJECT = ["id", "name", "description", "visibility", "status", "createdAt", "updatedAt"]
SESSION = [
    *("id", "projectId", "startedAt", "status", "source", "messageCount", "summary", "updatedAt")
]
EVENT = [
    *("eventId", "projectId", "sessionId", "event", "payload", "timestamp", "receivedAt", "source")
]


def lines() -> list[str]:
    """Each curl command of the page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    joined = "".join(blocks).replace("\\\n", "")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


def paste(stack: Stack, line: str, **variables: str) -> tuple[int, Any]:
    """Run one in a shell; (status, what was answered)."""
    command = line + " -w '\\n%{http_code}'"
    done = subprocess.run(
        ["bash", "-euc", command],
        env={**stack.environ(), **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), json.loads(body) if body else None


def test_lines(stack: Stack) -> None:
    """Keys, projects, secrets, sessions and events, from the first to the last line."""
    stack.run("send", "session_save", '{"n": 1.0}')
    wait_until(lambda: len(stack.events()) == 1, 20)
    found: dict[str, str] = {"EVENT_ID": stack.events()[0]["eventId"]}
    seen: list[tuple[int, Any]] = []
    for line in lines():
        status, content = paste(stack, line, **found)
        assert status < 300, (line, status, content)
        seen.append((status, content))
        if isinstance(content, dict):
            found |= {"KEY_ID": content["id"]} if "key" in content else {}
            found |= {"NEW_PROJECT": content["id"]} if "visibility" in content else {}
            found |= {"SESSION_ID": content["sessionId"]} if "ok" in content else {}
    keys, key, no_key, projects, project, one, changed, secret, rotated = seen[:9]
    sessions, created, closed, events, event, deleted = seen[9:]
    assert [list(shown) for shown in keys[1]] == [["id", "name", "prefix", "lastUsed", "createdAt"]]
    assert (key[0], list(key[1])) == (201, ["id", "name", "key", "createdAt"])
    assert no_key == (204, None)
    assert [list(shown) for shown in projects[1]] == [PROJECT]
    assert (project[0], list(project[1])) == (201, PROJECT)
    assert one == (200, project[1])
    assert changed[1]["description"] != project[1]["description"]
    assert list(secret[1]) == ["hmacSecret"]
    assert list(rotated[1]) == ["hmacSecret", "previousExpiresAt", "previousLastUsed"]
    assert rotated[1]["hmacSecret"] != secret[1]["hmacSecret"]
    assert (list(sessions[1]), list(sessions[1]["sessions"][0])) == (["sessions", "total"], SESSION)
    assert list(created[1]) == list(closed[1]) == ["ok", "sessionId"]
    assert created[1]["ok"] is True
    assert (list(events[1]), list(events[1]["events"][0])) == (["events", "cursor"], EVENT)
    assert list(event[1]) == [*EVENT, "status", "deadLetter"]
    assert deleted == (204, None)
