"""Stand-ins for the published clients, which know nothing of our code: what each of them sends,
with only URL, key, project and secret set."""

import hashlib
import hmac
import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.raw_http import PATH, Reply, exchange

Members = dict[str, Any]


def as_javascript(value: Any) -> str:
    """JSON as JSON.stringify writes it: no blanks, nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def now() -> str:
    """As Date.toISOString writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sign(secret: str, text: str) -> str:
    """Hex, without a prefix."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Client(NamedTuple):
    """What is set of a client."""

    port: int
    key: str
    project: str
    secret: str

    def cli(self, event: Members) -> Members:
        """The envelope of the `save` and `collect` commands: the event is signed."""
        signature = sign(self.secret, as_javascript(event))
        nonce = str(uuid.uuid4())
        return {**self._envelope("cli", now(), nonce, signature, event), "skipEnrichment": True}

    def extension(self, event: Members) -> Members:
        """The envelope of the editor extension's capture: more than the event is signed."""
        timestamp = now()
        text = f"vscode\n{timestamp}\n{self.project}\n{as_javascript(event)}"
        signature, nonce = sign(self.secret, text), os.urandom(16).hex()
        envelope = self._envelope("vscode", timestamp, nonce, signature, event)
        return {**envelope, "extensionVersion": "1.1.9"}

    def _envelope(
        self, source: str, timestamp: str, nonce: str, signature: str, event: Members
    ) -> Members:
        return {
            "source": source,
            "timestamp": timestamp,
            "nonce": nonce,
            "signature": signature,
            "projectId": self.project,
            "event": event,
        }

    async def post(self, envelope: Members | bytes, headers: str = "") -> Reply:
        """Send an envelope. headers: lines that come on top."""
        body = envelope if isinstance(envelope, bytes) else as_javascript(envelope).encode()
        if "Content-Type:" not in headers:
            headers += "Content-Type: application/json\r\n"
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        )
        return await exchange(self.port, head.encode() + body)


SAVE: Members = {
    "type": "mcp_save",
    "summary": "Built the sign-in — with 🔑",
    "changes": [{"category": "implementation", "title": "sign-in", "content": 'a "b"\n\\c/'}],
}
CAPTURE: Members = {
    "type": "vscode_capture",
    "commits": [{"sha": "f00", "message": "fix: ü", "filesChanged": [], "insertions": 0}],
    "filesModified": ["src/é.ts"],
    "sessionDurationMs": 1234.5,
}
PUBLISHED: dict[str, tuple[Callable[[Client, Members], Members], Members, str]] = {
    "save": (Client.cli, SAVE, "cli"),
    "capture": (Client.extension, CAPTURE, "vscode"),
}
