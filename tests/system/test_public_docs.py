"""The curl lines of the product's public documentation, run by a shell with only host, key, ids and
signature changed: the shapes that are documented there, which existing programs parse."""

import hashlib
import hmac
import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.conftest import Stack

# Where each line stands: /docs/api/authentication, .../endpoints/keys, .../endpoints/projects,
# .../hmac-signing and .../endpoints/v2-ingest of the product's site.
LIST_PROJECTS = """curl -X GET https://contox.dev/api/projects \\
  -H "Authorization: Bearer contox_sk_abc123def456\""""
CREATE_KEY = """curl -X POST https://contox.dev/api/keys \\
  -H "Authorization: Bearer contox_sk_existingkey" \\
  -H "Content-Type: application/json" \\
  -d '{"name": "CLI - Production"}'"""
DELETE_KEY = """curl -X DELETE https://contox.dev/api/keys \\
  -H "Authorization: Bearer contox_sk_yourkey" \\
  -H "Content-Type: application/json" \\
  -d '{"keyId": "key_abc123"}'"""
CREATE_PROJECT = """curl -X POST https://contox.dev/api/projects \\
  -H "Authorization: Bearer contox_sk_yourkey" \\
  -H "Content-Type: application/json" \\
  -d '{"name": "My Project", "visibility": "private"}'"""
SECRET = """curl -X GET https://contox.dev/api/projects/proj_abc123/hmac-secret \\
  -H "Authorization: Bearer contox_sk_yourkey\""""
INGEST = """curl -X POST https://contox.dev/api/v2/ingest \\
  -H "Content-Type: application/json" \\
  -H "X-Contox-Project: proj_abc123" \\
  -H "X-Contox-Timestamp: 1705312200" \\
  -H "X-Contox-Signature: sha256=a1b2c3d4..." \\
  -d '{
    "event": "session_save",
    "payload": {
      "summary": "Implemented user authentication with JWT",
      "changes": [
        {
          "category": "implementation",
          "title": "JWT auth middleware",
          "content": "Added auth middleware at src/middleware/auth.ts"
        }
      ]
    }
  }'"""
# Documented by method, path and members alone.
LIST_KEYS = LIST_PROJECTS.replace("/api/projects", "/api/keys")
GET_PROJECT = SECRET.replace("/hmac-secret", "")
CHANGE_PROJECT = (
    CREATE_PROJECT.replace("POST", "PATCH")
    .replace("/api/projects", "/api/projects/proj_abc123")
    .replace('"My Project"', '"Renamed", "description": "new", "status": "disabled"')
)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").fullmatch
PREFIX = re.compile("(key|proj|contox_sk)_").match
KEY = {"id": "key_def456", "name": "CLI - Production", "createdAt": "2025-01-20T14:00:00Z"}
KEY_SHAPES = {
    "listed": {**KEY, "prefix": "contox_sk_abc1...", "lastUsed": "2025-01-20T14:00:00Z"},
    "made": {**KEY, "key": "contox_sk_full_raw_key_shown_only_once"},
}
PROJECT = {
    "id": "proj_abc123",
    "name": "My SaaS App",
    "description": "Main product repository",
    "visibility": "private",
    "status": "active",
    "createdAt": "2025-01-15T10:30:00Z",
    "updatedAt": "2025-01-20T14:00:00Z",
}  # and what only the hosted product has: tiers, repositories, members


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all."""
    running = Stack(tmp_path_factory.mktemp("public"))
    running.start()
    yield running
    running.stop()


def paste(stack: Stack, line: str, **changed: str) -> tuple[int, Any]:
    """(status, what was answered) of a line with host and key of this stack.

    changed: what else is to be put in place of what stands there, as ids.
    """
    line = line.replace("https://contox.dev", stack.ready["url"])
    line = re.sub(r"contox_sk_\w+", stack.ready["apiKey"], line)
    for name, value in {"proj_abc123": stack.ready["projectId"], **changed}.items():
        line = line.replace(name, value)
    command = ["bash", "-euc", line + " -sS -w '\\n%{http_code}'"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def check(shown: dict[str, Any], documented: dict[str, Any]) -> None:
    """The members that are documented and no others, of the same form."""
    assert shown.keys() == documented.keys()
    for name, example in documented.items():
        if TIME(str(example)):
            assert TIME(shown[name]), name
        elif prefix := PREFIX(str(example)):
            assert shown[name].startswith(prefix[0]), name
        else:
            assert type(shown[name]) is type(example), name


def test_keys(stack: Stack) -> None:
    """A key is made, listed and deleted as the page on keys says; then it is none any more."""
    status, made = paste(stack, CREATE_KEY)
    assert (status, made["name"]) == (201, "CLI - Production")
    check(made, KEY_SHAPES["made"])
    assert (
        paste(stack, LIST_PROJECTS.replace("contox_sk_abc123def456", "OWN"), OWN=made["key"])[0]
        == 200
    )
    status, listed = paste(stack, LIST_KEYS)
    assert status == 200
    for key in listed:
        check({**key, "lastUsed": key["lastUsed"] or key["createdAt"]}, KEY_SHAPES["listed"])
        assert re.fullmatch(r"contox_sk_\w{4}\.\.\.", key["prefix"])
    assert made["id"] in [key["id"] for key in listed]
    assert paste(stack, DELETE_KEY, key_abc123=made["id"]) == (204, None)
    assert made["id"] not in [key["id"] for key in paste(stack, LIST_KEYS)[1]]


def test_deleted_key(stack: Stack) -> None:
    """A key is refused once it is deleted, with the documented error and no more."""
    _, made = paste(stack, CREATE_KEY)
    deleted = DELETE_KEY.replace("contox_sk_yourkey", "OWN").replace("key_abc123", made["id"])
    assert paste(stack, deleted, OWN=made["key"]) == (204, None)
    status, told = paste(
        stack, LIST_PROJECTS.replace("contox_sk_abc123def456", "OWN"), OWN=made["key"]
    )
    assert (status, told["error"]) == (401, "Invalid or missing authentication credentials")


def test_projects(stack: Stack) -> None:
    """A project is made, listed, shown and changed as the page on projects says."""
    status, made = paste(stack, CREATE_PROJECT)
    assert status == 201
    check(made, PROJECT)
    assert [made[name] for name in ("name", "visibility", "status")] == [
        "My Project",
        "private",
        "active",
    ]
    status, listed = paste(stack, LIST_PROJECTS)
    assert (status, made in listed) == (200, True)
    for project in listed:
        check(project, PROJECT)
    assert paste(stack, GET_PROJECT, proj_abc123=made["id"]) == (200, made)
    status, changed = paste(stack, CHANGE_PROJECT, proj_abc123=made["id"])
    assert status == 200
    check(changed, PROJECT)
    values = {"name": "Renamed", "description": "new", "status": "disabled"}
    assert changed == {**made, **values, "updatedAt": changed["updatedAt"]}


def test_ingest(stack: Stack) -> None:
    """The secret is read, and the documented event signed with it and accepted."""
    status, secret = paste(stack, SECRET)
    assert (status, secret) == (200, {"hmacSecret": stack.ready["hmacSecret"]})
    body = shlex.split(INGEST)[-1]
    timestamp = str(int(time.time()))
    signed = f"{timestamp}.{body}".encode()
    mac = hmac.new(secret["hmacSecret"].encode(), signed, hashlib.sha256).hexdigest()
    changed = {"1705312200": timestamp, "a1b2c3d4...": mac}
    status, answer = paste(stack, INGEST, **changed)
    assert status == 202
    assert {"eventId", "sessionId"} <= answer.keys()
    assert answer["eventId"].startswith("evt_")
    assert answer["sessionId"].startswith("sess_")
