"""What openapi.py says of the paths that are not made by the Guard: ingest, and the status pages.

Their shapes are checked by hand, for speed, so they are written out here; the patterns and bounds
are those of the code that checks.
"""

from typing import Any

from core.codec import PROJECT
from core.envelope import NONCE_MAX, SOURCE
from core.event import UNIX_S_MAX
from core.words import IDENTIFIER, NAME
from gateway.endpoint import PATH

Json = dict[str, Any]


def matching(fullmatch: Any, **more: Any) -> Json:
    """The schema of text that this `fullmatch` of a pattern accepts."""
    return {"type": "string", "pattern": f"^(?:{fullmatch.__self__.pattern})$", **more}


def or_null(schema: Json) -> Json:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


MOMENT: Json = {"type": "string", "format": "date-time"}
EVENT: Json = {
    "type": "object",
    "required": ["event", "payload"],
    "properties": {
        "event": matching(NAME),
        "payload": {"type": "object", "description": "Kept byte for byte."},
        "id": or_null(matching(IDENTIFIER)),
        "timestamp": or_null(
            {"anyOf": [MOMENT, {"type": "number", "minimum": 0, "maximum": UNIX_S_MAX}]}
        ),
    },
}
ENVELOPE: Json = {
    "type": "object",
    "required": ["source", "timestamp", "nonce", "signature", "projectId", "event"],
    "properties": {
        "source": matching(SOURCE),
        "timestamp": MOMENT,
        "nonce": {"type": "string", "minLength": 1, "maxLength": NONCE_MAX},
        "signature": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "projectId": matching(PROJECT),
        "event": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": matching(NAME)},
            "description": "Signed, and kept byte for byte.",
        },
    },
}
ACCEPTED: Json = {
    "type": "object",
    "required": ["eventId", "sessionId", "status"],
    "properties": {
        "eventId": {"type": "string"},
        "sessionId": {"type": "string"},
        "status": {"const": "accepted"},
    },
}
ACCEPTED_BATCH: Json = {
    "type": "object",
    "required": ["accepted", "eventIds", "rejected", "sessionId", "status"],
    "properties": {
        "accepted": {"type": "integer", "minimum": 1},
        "eventIds": {"type": "array", "items": {"type": "string"}},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "error", "code"],
                "properties": {
                    "index": {"type": "integer"},
                    "error": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
        "sessionId": {"type": "string"},
        "status": {"const": "accepted"},
    },
}
SCHEMAS = {
    "Event": EVENT,
    "Envelope": ENVELOPE,
    "Accepted": ACCEPTED,
    "AcceptedBatch": ACCEPTED_BATCH,
}
SIGNED = {
    name: {"type": "apiKey", "in": "header", "name": f"X-Contox-{name.capitalize()}"}
    for name in ("project", "timestamp", "signature")
}


def ref(name: str) -> Json:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def ingest(responses: Json) -> Json:
    """The path item of ingest. responses: all but the 202."""
    batch = {
        "type": "array",
        "contains": ref("Event"),  # the others are refused one by one
        "description": "Events, by default at most 5,000; taken if one of them is valid",
    }
    answer = {"anyOf": [ref("Accepted"), ref("AcceptedBatch")]}
    headers = {
        "X-Contox-Durability": {
            "required": True,
            "schema": {"enum": ["memory", "fsynced", "replicated", "spooled"]},
        }
    }
    accepted = {
        "description": "In the queue, in whole or in part",
        "headers": headers,
        "content": {"application/json": {"schema": answer}},
    }
    content = {
        "application/json": {"schema": {"oneOf": [ref("Event"), batch, ref("Envelope")]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "An Event a line"}},
    }
    operation = {
        "operationId": "ingest",
        "summary": "Take events: signed by headers, or an envelope with an API key",
        "security": [{name: [] for name in SIGNED}, {"bearer": []}],
        "requestBody": {"required": True, "content": content},
        "responses": {"202": accepted, **responses},
    }
    return {PATH: {"post": operation}}


def status_pages() -> Json:
    """The path items of what orchestrators ask."""
    ready: Json = {
        "type": "object",
        "required": ["status", "missing", "degraded"],
        "properties": {
            "status": {"enum": ["ready", "unready"]},
            "missing": {"type": "array", "items": {"type": "string"}},
            "degraded": {"type": "array", "items": {"type": "string"}},
        },
    }
    alive: Json = {
        "type": "object",
        "required": ["status", "version"],
        "properties": {"status": {"const": "alive"}, "version": {"type": "string"}},
    }
    text: Json = {"schema": {"type": "string"}}
    not_ready = _page("It cannot accept durably now", {"application/json": {"schema": ready}})
    return {
        "/healthz": _get("healthz", _page("It runs", {"application/json": {"schema": alive}})),
        "/readyz": _get(
            "readyz",
            _page("It can accept durably now", {"application/json": {"schema": ready}}),
            {"503": not_ready},
        ),
        "/metrics": _get("metrics", _page("Prometheus text", {"text/plain": text})),
    }


def _page(description: str, content: Json) -> Json:
    return {"description": description, "content": content}


def _get(name: str, page: Json, more: Json | None = None) -> Json:
    operation = {
        "operationId": name,
        "security": [],
        "responses": {"200": page, **(more or {})},
    }
    return {"get": operation}
