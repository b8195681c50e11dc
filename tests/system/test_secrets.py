"""Nothing secret is in any log, or in any answer that is not meant to show it, whatever is done: a
whole stack, every operation of its contract with every kind of credentials, refusals and errors."""

import hashlib
import hmac
import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Stack, wait_until

INGEST = "/api/v2/ingest"
SHOWS_A_SECRET = re.compile(
    r"(POST /api/keys|(GET|POST) /api/projects/[^/]+/(hmac-secret|rotate)) 20[01]"
)
PASSWORD = "not the password of anyone"
SAMPLES: list[Any] = [
    {"name": "a name", "keyId": "key_none", "status": "closed", "everywhere": False},
    {"email": "admin@localhost", "password": PASSWORD},
    {"name": 1, "password": 2},
    b'{"password": "' + PASSWORD.encode(),
]


class Asker:
    """Asks the gateway of a stack, and keeps what it answers and what is secret."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.secrets: set[str] = set()
        self.shown: list[str] = []  # answers that are not meant to show a secret
        self.statuses: dict[int, int] = {}

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, dict[str, str], str]:
        """(status, headers, body). body: bytes as they are, anything else as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        port = int(self.stack.ready["url"].rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        given = {**({"Content-Type": "application/json"} if content else {}), **(headers or {})}
        connection.request(method, path, content, given)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        found = {name.lower(): value for name, value in answer.getheaders()}
        if cookie := re.match(r"__Host-contox_session=([\w-]+)", found.get("set-cookie", "")):
            self.secrets.add(cookie[1])
        if SHOWS_A_SECRET.fullmatch(f"{method} {path} {answer.status}"):
            shown = json.loads(text)
            self.secrets |= {shown[name] for name in ("key", "hmacSecret") if name in shown}
        else:
            self.shown.append(f"{method} {path} {answer.status} {text}")
        return answer.status, found, text


def bearer(key: str) -> dict[str, str]:
    """The header of a key."""
    return {"Authorization": f"Bearer {key}"}


def envelope(stack: Stack, **changed: Any) -> bytes:
    """What a client sends with a key."""
    event = '{"type":"mcp_save","summary":"x"}'
    members = {
        "source": "cli",
        "timestamp": datetime.now(UTC).isoformat(),
        "nonce": os.urandom(8).hex(),
        "signature": hmac.new(
            stack.ready["hmacSecret"].encode(), event.encode(), hashlib.sha256
        ).hexdigest(),
        "projectId": stack.ready["projectId"],
        **changed,
    }
    return f'{json.dumps(members)[:-1]},"event":{event}}}'.encode()


def signed(stack: Stack, body: bytes, **changed: str) -> dict[str, str]:
    """The headers of a signed request."""
    timestamp = str(int(time.time()))
    mac = hmac.new(stack.ready["hmacSecret"].encode(), timestamp.encode() + b"." + body, "sha256")
    return {
        "X-Contox-Project": stack.ready["projectId"],
        "X-Contox-Timestamp": timestamp,
        "X-Contox-Signature": f"sha256={mac.hexdigest()}",
        **changed,
    }


@pytest.fixture
def asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    """Of a stack that logs all it can."""
    monkeypatch.setenv("CONTOX_LOG_LEVEL", "debug")
    monkeypatch.setenv("CONTOX_SIGN_IN_ACCOUNT_TRIES", "1000")
    stack = Stack(tmp_path)
    stack.start()
    wait_until(lambda: "See what is stored" in stack.printed(), 10)
    asker = Asker(stack)
    password = re.search(r"password +(\S+)", stack.printed())
    assert password
    files = [stack.data / name for name in ("master.key", "operator.token")]
    asker.secrets |= {password[1], PASSWORD, stack.ready["apiKey"], stack.ready["hmacSecret"]}
    asker.secrets |= {file.read_text().strip() for file in files}
    yield asker
    stack.stop()


def signed_in(asker: Asker) -> dict[str, str]:
    """The headers of a new sign-in, on a page of the gateway's own."""
    password = re.search(r"password +(\S+)", asker.stack.printed())
    assert password
    sign_in = {"email": "admin@localhost", "password": password[1]}
    status, headers, _ = asker.ask("POST", "/api/auth/sign-in", body=sign_in)
    assert status == 200
    return {
        "Cookie": headers["set-cookie"].partition(";")[0],
        "Origin": asker.stack.ready["url"],
    }


def callers(asker: Asker) -> dict[str, dict[str, str]]:
    """The headers of everyone who may ask, and of some who may not."""
    own = signed_in(asker)
    made = json.loads(asker.ask("POST", "/api/keys", own, {"name": "second"})[2])
    gone = json.loads(asker.ask("POST", "/api/keys", own, {"name": "third"})[2])
    assert asker.ask("DELETE", "/api/keys", own, {"keyId": gone["id"]})[0] == 204
    forged = "contox_sk_" + "forged0" * 6 + "f"
    asker.secrets |= {forged, "forged-cookie-" * 3 + "f"}
    return {
        "cookie": own,
        "cookie of others' pages": {**own, "Origin": "https://other.example"},
        "key": bearer(made["key"]),
        "deleted key": bearer(gone["key"]),
        "forged key": bearer(forged),
        "forged cookie": {"Cookie": "__Host-contox_session=" + "forged-cookie-" * 3 + "f"},
        "operator": bearer((asker.stack.data / "operator.token").read_text().strip()),
        "nobody": {},
    }


def use_everything(asker: Asker) -> None:
    """Every operation of the contract, by everyone, with bodies that are right and wrong."""
    paths = json.loads(asker.ask("GET", "/openapi.json")[2])["paths"]
    known = callers(asker)
    refused: dict[str, list[str]] = {name: [] for name in known}
    for path, item in paths.items():
        known["cookie"] = signed_in(asker)  # signing out is among the paths
        for method in {*map(str.upper, item), "PUT"}:
            if path == INGEST:
                continue
            own = asker.stack.ready["projectId"] if method in ("GET", "POST") else "none"
            for name, headers in known.items():
                for body in SAMPLES if method not in ("GET", "PUT") else [None]:
                    status, _, _ = asker.ask(method, path.replace("{id}", own), headers, body)
                    refused[name] += [path] if status == 401 else []
    for name in ("cookie", "key", "operator"):  # who is known gets as far as the handlers
        assert set(refused[name]) <= {"/api/auth/sign-in", "/api/auth/sign-out"}, name


def ingest_everything(asker: Asker) -> None:
    """Envelopes and signed requests, and each of them wrong in some way."""
    stack = asker.stack
    key = bearer(stack.ready["apiKey"])
    body = b'{"event": "session_save", "payload": {}}'
    assert asker.ask("POST", INGEST, key, envelope(stack))[0] == 202
    assert asker.ask("POST", INGEST, signed(stack, body), body)[0] == 202
    for changed in ({"signature": "0" * 64}, {"source": ""}, {"timestamp": "x"}, {"nonce": 1}):
        assert asker.ask("POST", INGEST, key, envelope(stack, **changed))[0] in (400, 401)
    for sent in (b"{", b"[]", body, b"\xff"):
        asker.ask("POST", INGEST, key, sent)
        asker.ask("POST", INGEST, signed(stack, sent), sent)
    wrong = {"X-Contox-Signature": "sha256=" + stack.ready["hmacSecret"]}
    assert asker.ask("POST", INGEST, {**signed(stack, body), **wrong}, body)[0] == 401
    assert asker.ask("POST", INGEST, bearer(stack.ready["hmacSecret"]), body)[0] == 401


def logs(asker: Asker) -> str:
    """All that the stack has logged; without what `up` prints, once, for people to copy."""
    printed = asker.stack.printed()
    before, _, after = printed.partition("See what is stored")
    lines = [line for line in before.splitlines() if line.startswith("{")]
    files = [file for file in asker.stack.data.rglob("*") if file.suffix in (".log", ".txt")]
    return "\n".join([*lines, after, *[file.read_text(errors="replace") for file in files]])


def test_no_secret_in_logs_or_answers(asker: Asker) -> None:
    """After all that can be done, with the queue killed in between, no secret is where it should
    not be: not in logs, not in answers, and none in clear in the store or the queue's files."""
    ingest_everything(asker)
    use_everything(asker)
    asker.stack.kill("valkey-server")
    for _ in range(5):  # while it is away, and when it is back
        asker.ask("GET", "/api/keys", bearer(asker.stack.ready["apiKey"]))
        asker.ask("POST", INGEST, bearer(asker.stack.ready["apiKey"]), envelope(asker.stack))
        time.sleep(0.3)
    asker.stack.stop()
    assert {200, 201, 202, 204, 400, 401, 403, 404, 405} <= asker.statuses.keys()
    logged = logs(asker)
    assert "signed in" in logged
    assert len(asker.secrets) > 9
    kept = [f.read_bytes() for f in asker.stack.data.rglob("*") if is_store(f)]
    assert kept
    for secret in sorted(asker.secrets):
        assert secret not in logged
        assert not [answer for answer in asker.shown if secret in answer]
        assert not any(secret.encode() in content for content in kept)


def is_store(file: Path) -> bool:
    """Whether this is a file of the store, or of the queue."""
    return file.is_file() and (file.name.startswith("contox-ingest.db") or "queue" in file.parts)
