"""What schemathesis cannot know of the contract: text that is printable, times since 1970, lines of
events; and how to sign, where the environment has a secret."""

import hashlib
import hmac
import json
import os
import re
import time
from datetime import UTC, datetime
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st

INGEST = "/api/v2/ingest"
MARK = "to be signed"
SIGNED = ("X-Contox-Project", "X-Contox-Timestamp", "X-Contox-Signature")
PROJECT, SECRET = os.environ.get("CONTOX_PROJECT", ""), os.environ.get("CONTOX_SECRET", "")
KEY = os.environ.get("CONTOX_API_KEY", "")

RIGHT = {
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+").fullmatch,
    "projectId": re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch,
    "signature": re.compile(r"[0-9a-f]{64}").fullmatch,
}
printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=100)
moments = st.integers(0, 253_402_300_799).map(
    lambda unix_s: datetime.fromtimestamp(unix_s, UTC).isoformat()
)
lines = st.lists(st.just({"event": "saved", "payload": {}}), min_size=1, max_size=5)
schemathesis.openapi.format("printable", printable)
schemathesis.openapi.format("date-time", moments)
schemathesis.openapi.media_type(
    "application/x-ndjson",
    lines.map(lambda events: "\n".join(map(json.dumps, events)).encode()),
)


def hex_mac(signed: bytes) -> str:
    """The signature, without a prefix."""
    return hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


class Signer(requests.auth.AuthBase):
    """Signs a request once its body is made: by headers, or an envelope within the body."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request, signed."""
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        if envelope := as_envelope(body):
            for name in SIGNED:
                request.headers.pop(name, None)
            request.headers["Authorization"] = f"Bearer {KEY}"
            request.prepare_body(sign_envelope(envelope), None)
            return request
        timestamp = str(int(time.time()))
        signature = f"sha256={hex_mac(timestamp.encode() + b'.' + body)}"
        request.headers.update(zip(SIGNED, (PROJECT, timestamp, signature), strict=True))
        return request


def as_envelope(body: bytes) -> dict[str, Any] | None:
    """The envelope that this is meant to be."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    meant = isinstance(content, dict) and {"nonce", "signature", "source"} <= content.keys()
    return content if meant else None


def is_right(name: str, value: Any) -> bool:
    """Whether a member is one that must be ours, and of the form that it should have."""
    return name in RIGHT and isinstance(value, str) and RIGHT[name](value) is not None


def sign_envelope(envelope: dict[str, Any]) -> bytes:
    """The envelope's body, of now and of our project, where it was right but for that."""
    event = json.dumps(envelope.get("event"))
    mine = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "projectId": PROJECT,
        "signature": hex_mac(event.encode()),
    }
    head = {
        name: mine[name] if is_right(name, value) else value
        for name, value in envelope.items()
        if name != "event"
    }
    return f'{json.dumps(head)[:-1]},"event":{event}}}'.encode()


@schemathesis.auth().apply_to(path=INGEST)
class ToBeSigned:
    """Marks the cases of ingest that are to be signed; checks take the mark away again."""

    def get(self, _case: schemathesis.Case, _context: schemathesis.AuthContext) -> str | None:
        """The mark, if there is a secret."""
        return MARK if SECRET else None

    def set(self, case: schemathesis.Case, data: str, _context: schemathesis.AuthContext) -> None:
        """Mark a case."""
        case.headers = {**(case.headers or {}), "X-Contox-Signature": data}


@schemathesis.hook
def filter_case(_context: Any, case: schemathesis.Case) -> bool:
    """Leaves out what is said to break the format of a name that keeps it: of formats that are not
    its own, schemathesis knows how to make them, and takes any other text for a breach."""
    said = getattr(case.meta and case.meta.phase.data, "description", None) or ""
    name = case.body.get("name") if isinstance(case.body, dict) else None
    return not ("`format`" in said and isinstance(name, str) and is_name(name))


def is_name(text: str) -> bool:
    """Whether text has the format `printable`, as the gateway takes it."""
    return text.isprintable() and bool(text.strip())


@schemathesis.hook
def before_call(_context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Has a case signed that is marked."""
    if (case.headers or {}).get("X-Contox-Signature") == MARK:
        kwargs["auth"] = Signer()
