"""Whatever is sent as an envelope, with a key that is good, no 5xx comes of it."""

import hashlib
import hmac
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.codec import explode
from tests.gateway.api.conftest import People
from tests.gateway.clients import SAVE, Client, as_javascript, now
from tests.gateway.conftest import SECRET, Start
from tests.gateway.fuzzing import Sender, fuzz
from tests.raw_http import PATH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = ["source", "timestamp", "nonce", "signature", "projectId", "event"]
CHANGES = st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=3)
HEADERS = st.sampled_from(
    [
        b"Content-Type: application/json\r\n",
        b"Content-Type: application/x-ndjson\r\n",
        b"Content-Type: application/json; charset=utf-16\r\n",
        b"Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        b"Content-Type: application/json\r\nContent-Encoding: zstd\r\n",
        b"",
    ]
)


async def test_any_body(start: Start) -> None:
    """Any bytes, and envelopes of which members are anything, are answered; what is answered 202
    can be stored."""
    people = People(await start(CONTOX_API_REQUESTS_MINUTE="1000000"))
    ada = await people.add("ada", "admin")
    client = Client(people.running.gateway.port, ada.key, "proj_1", SECRET)
    envelope = client.cli(SAVE)
    changed = CHANGES.map(lambda changes: json.dumps(envelope | changes).encode())
    accepted = 0

    @settings(max_examples=400, deadline=None, database=None)
    @given(st.binary(max_size=200) | changed | VALUES.map(json.dumps).map(str.encode), HEADERS)
    def post(body: bytes, headers: bytes) -> None:
        nonlocal accepted
        accepted += sender.send("POST", PATH, headers + ada.bearer.encode(), body) == 202

    @settings(max_examples=200, deadline=None, database=None)
    @given(VALUES, st.text(max_size=10), st.text(max_size=10))
    def post_signed(value: Any, source: str, nonce: str) -> None:
        nonlocal accepted
        event = json.dumps({"type": "a", "value": value})
        mac = hmac.new(SECRET.encode(), event.encode(), hashlib.sha256).hexdigest()
        members = {
            "source": source,
            "nonce": nonce,
            "timestamp": now(),
            "signature": mac,
            "projectId": "proj_1",
        }
        body = f'{as_javascript(members)[:-1]},"event":{event}}}'.encode(errors="replace")
        headers = b"Content-Type: application/json\r\n" + ada.bearer.encode()
        accepted += sender.send("POST", PATH, headers, body) == 202

    def run(given_sender: Sender) -> None:
        nonlocal sender
        sender = given_sender
        post()
        post_signed()

    sender: Sender
    assert {202, 400, 401, 415} <= await fuzz(people.running, run)
    entries = await people.running.entries()
    assert len(entries) == accepted
    assert all(explode(entry) for entry in entries)
