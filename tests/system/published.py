"""The published clients, request by request: the command line's `save`, `collect` and `init`, the
MCP server, and the editor extension. Only address, key and secret are set; what they would print or
write to a file is returned.

They are JavaScript: strings are cut by UTF-16 units, JSON is as JSON.stringify writes it, and
requests carry the headers of Node's fetch.
"""

import hashlib
import hmac
import http.client
import json
import os
import re
import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

Members = dict[str, Any]
TEAM = "team_1"  # clients ask for one; there are no teams here
FETCH = {
    "Content-Type": "application/json",
    "accept": "*/*",
    "accept-language": "*",
    "sec-fetch-mode": "cors",
    "user-agent": "node",
    "accept-encoding": "gzip, deflate",
}


def stringify(value: Any) -> str:
    """JSON.stringify: half of a surrogate pair is escaped, and little else."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def cut(text: str, units: int) -> str:
    """String.slice(0, units)."""
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "surrogatepass")


def now() -> str:
    """Date.toISOString."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def mac(secret: str, text: str) -> str:
    """createHmac("sha256", secret).update(text).digest("hex")."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Failed(Exception):
    """What a client tells its user: the status, and `error` of the answer."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(f"{status}: {told}")
        self.status = status


class Api(NamedTuple):
    """What every client has set."""

    url: str
    key: str

    def raw(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """(status, body) of one request."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        content = None if body is None else stringify(body).encode()
        headers = {**FETCH, "Authorization": f"Bearer {self.key}"}
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def fetch(self, method: str, path: str, body: Any = None) -> Any:
        """What is answered. Raises Failed as clients do, if that is no 2xx."""
        status, text = self.raw(method, path, body)
        content = json.loads(text)
        if not 200 <= status < 300:
            assert isinstance(content["error"], str)
            raise Failed(status, content["error"])
        return content

    def projects(self, **query: str) -> list[Members]:
        """The list of projects, filtered."""
        found: list[Members] = self.fetch("GET", f"/api/projects?{urlencode(query)}")
        return found

    def secret_of(self, project: str) -> str:
        """The secret that clients sign with."""
        path = f"/api/projects/{quote(project)}/hmac-secret"
        secret: str = self.fetch("GET", path)["hmacSecret"]
        return secret


class CommandLine(NamedTuple):
    """The command line, in a directory whose project is known."""

    api: Api
    project: str
    secret: str
    source: str = "cli"

    def ingest(self, event: Members) -> Members:
        """Sign the event alone and send it."""
        answer: Members = self.api.fetch(
            "POST",
            "/api/v2/ingest",
            {
                "source": self.source,
                "timestamp": now(),
                "nonce": str(uuid.uuid4()),
                "signature": mac(self.secret, stringify(event)),
                "projectId": self.project,
                "event": event,
                "skipEnrichment": True,
            },
        )
        return answer

    def save(self, summary: str) -> tuple[Members, Members]:
        """(the event, the answer) of `save SUMMARY`."""
        change = {"category": "implementation", "title": cut(summary, 80), "content": summary}
        event = {"type": "mcp_save", "summary": summary, "changes": [change]}
        return event, self.ingest(event)

    def collect(self, diffs: dict[str, str], commits: dict[str, str]) -> tuple[Members, Members]:
        """(the event, the answer) of `collect`, of these files and commits, newest first."""
        changes = [
            {"category": "implementation", "title": f"Changed {path}", "content": cut(diff, 4000)}
            for path, diff in diffs.items()
        ]
        listed = "\n".join(f"- {sha[:7]}: {message}" for sha, message in commits.items())
        title = f"Commits ({len(commits)})"
        changes.append({"category": "implementation", "title": title, "content": listed})
        counts = f"{len(diffs)} files changed, {len(commits)} commits"
        event = {
            "type": "mcp_save",
            "summary": f"[evidence-collector] {counts} on main",
            "changes": changes,
            "headCommitSha": next(iter(commits)),
        }
        return event, self.ingest(event)


class McpServer(NamedTuple):
    """The MCP server, which finds its project by the name of a repository, or makes it."""

    api: Api

    def resolve(self, repository: str) -> Members:
        """The project that is written to the repository's .contox.json."""
        if found := self.api.projects(teamId=TEAM, name=repository):
            return found[0]
        made: Members = self.api.fetch(
            "POST", "/api/projects", {"name": repository, "teamId": TEAM}
        )
        return made

    def save_session(self, project: str, event: Members) -> Members:
        """Send a session as the command line does, under another name."""
        secret = self.api.secret_of(project)
        return CommandLine(self.api, project, secret, "mcp-server").ingest(event)


class Extension(NamedTuple):
    """The editor extension, once a project is chosen."""

    api: Api
    project: str
    secret: str
    source: str = "vscode"

    @classmethod
    def set_up(cls, api: Api, name: str, source: str = "vscode") -> "Extension":
        """Choose the project of this name from the list, and fetch its secret."""
        (project,) = [p for p in api.projects(teamId=TEAM) if p["name"] == name]
        return cls(api, project["id"], api.secret_of(project["id"]), source)

    def capture(self, message: str) -> tuple[Members, Members]:
        """(the event, the answer) of a commit with this message."""
        commit = {
            "sha": "0123456789ab",
            "message": cut(message, 500),
            "author": cut("Zoë", 200),
            "timestamp": "2026-01-15T11:30:00+01:00",
            "filesChanged": ["src/é.ts"],
            "insertions": 12,
            "deletions": 0,
            "diff": "@@ -1 +1 @@\n-a\n+\u2028\t\u0001",
        }
        event = {
            "type": "vscode_capture",
            "commits": [commit],
            "filesModified": ["src/é.ts"],
            "sessionDurationMs": 61_234,
            "activeEditorFiles": [],
        }
        timestamp = now()
        text = f"{self.source}\n{timestamp}\n{self.project}\n{stringify(event)}"
        body = {
            "source": self.source,
            "timestamp": timestamp,
            "nonce": os.urandom(16).hex(),
            "signature": mac(self.secret, text),
            "projectId": self.project,
            "event": event,
            "extensionVersion": "1.1.9",
        }
        return event, self.api.fetch("POST", "/api/v2/ingest", body)

    def sessions(self) -> list[Members]:
        """The newest sessions, as they are polled."""
        path = f"/api/v2/sessions?projectId={quote(self.project)}&limit=5"
        found: list[Members] = self.api.fetch("GET", path)["sessions"]
        return found

    def end_session(self, message: str) -> tuple[str, str]:
        """(the session that is closed, the new one) of "End Session & Start New"."""
        self.capture(message)
        active = next(session for session in self.sessions() if session["status"] == "active")
        path = f"/api/v2/sessions/{quote(active['id'])}"
        closed = self.api.fetch("PATCH", path, {"status": "closed"})
        assert (closed["ok"], closed["sessionId"]) == (True, active["id"])
        given = {"projectId": self.project, "source": "vscode"}
        opened = self.api.fetch("POST", "/api/v2/sessions", given)
        assert opened["ok"] is True
        return active["id"], opened["sessionId"]
