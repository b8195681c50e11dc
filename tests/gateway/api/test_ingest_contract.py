"""What the document says of events is what the code takes: each example is judged by both."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from core.body import Limits, parse
from core.compression import Encoding
from core.errors import Rejected
from gateway.api.ingest_contract import (
    ENVELOPE,
    EVENT,
    SCHEMAS,
    ingest,
    status_pages,
)
from tests.gateway.clients import CAPTURE, SAVE, Client

GOOD = {"event": "saved", "payload": {}}
EVENTS: list[tuple[Any, bool]] = [
    (GOOD, True),
    (GOOD | {"id": "a", "timestamp": 0, "more": []}, True),
    (GOOD | {"id": None, "timestamp": None}, True),
    (GOOD | {"timestamp": "2024-01-15T09:50:00Z"}, True),
    (GOOD | {"timestamp": -1}, False),
    (GOOD | {"timestamp": 253402300800}, False),
    (GOOD | {"timestamp": True}, False),
    (GOOD | {"id": ""}, False),
    (GOOD | {"id": "a" * 65}, False),
    (GOOD | {"id": "a b"}, False),
    (GOOD | {"event": ""}, False),
    (GOOD | {"event": "a b"}, False),
    (GOOD | {"event": "a" * 129}, False),
    (GOOD | {"payload": []}, False),
    ({"event": "saved"}, False),
    ({"payload": {}}, False),
    ([], False),
    (None, False),
]


@pytest.mark.parametrize(("event", "valid"), EVENTS)
def test_event(event: Any, valid: bool) -> None:
    """An event is valid by the document exactly if it is taken."""
    assert Draft202012Validator(EVENT).is_valid(event) == valid
    media, limits = b"application/json", Limits()
    wire = json.dumps(event).encode()
    if valid:
        assert parse(wire, content_type=media, encoding=Encoding.IDENTITY, limits=limits)
    else:
        with pytest.raises(Rejected):
            parse(wire, content_type=media, encoding=Encoding.IDENTITY, limits=limits)


CLIENT = Client(0, "key", "proj_1", "secret")


@pytest.mark.parametrize("envelope", [CLIENT.cli(SAVE), CLIENT.extension(CAPTURE)])
def test_envelope(envelope: dict[str, Any]) -> None:
    """What the published clients send is valid; with a member less it is not."""
    check = Draft202012Validator(ENVELOPE).is_valid
    assert check(envelope)
    for member in ENVELOPE["required"]:
        assert not check({name: value for name, value in envelope.items() if name != member})
    for change in ({"signature": "0"}, {"source": "a\tb"}, {"event": {"type": ""}}, {"nonce": ""}):
        assert not check(envelope | change)


def test_schemas() -> None:
    """Each schema is one, and ingest and the status pages are described by operations."""
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)
    assert ingest({})["/api/v2/ingest"]["post"]["responses"].keys() == {"202"}
    assert status_pages().keys() == {"/healthz", "/readyz", "/metrics"}
