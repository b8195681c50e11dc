"""Signed envelopes over HTTP: what the published clients send, who may, and what bad ones get."""

import gzip
import json
import time
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.body import Form
from core.codec import explode
from core.event import Row
from core.metrics import Metric
from gateway.envelopes import Envelopes
from tests.gateway.api.conftest import UNAUTHORIZED, People, Person
from tests.gateway.clients import PUBLISHED, SAVE, Client, as_javascript, now, sign
from tests.gateway.conftest import EACH_TRANSPORT, SECRET, Start
from tests.raw_http import EVENT, Reply

pytestmark = EACH_TRANSPORT


async def set_project(people: People, column: str, value: str | None) -> None:
    """Change the project, before any gateway has asked for it."""
    engine: AsyncEngine = people.running.projects._engine
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE projects SET {column} = ?", (value,))


async def stored(people: People) -> list[Row]:
    """What the worker would store."""
    return [row for entry in await people.running.entries() for row in explode(entry)]


def client_of(people: People, person: Person) -> Client:
    """A client with only its URL, key, project and secret set."""
    return Client(people.running.gateway.port, person.key, "proj_1", SECRET)


@pytest.fixture
async def people(start: Start) -> People:
    """A gateway whose limits can be exceeded cheaply."""
    return People(
        await start(
            CONTOX_OPERATOR_TOKEN="t" * 40,
            CONTOX_BODY_BYTES_MAX="4000",
            CONTOX_EVENT_BYTES_MAX="2000",
        )
    )


@pytest.fixture
async def client(people: People) -> Client:
    """A client of the project's owner."""
    bob = await people.add("bob")
    await set_project(people, "owner_id", bob.user.id)
    return client_of(people, bob)


@pytest.mark.parametrize("name", PUBLISHED)
async def test_published_client(people: People, client: Client, name: str) -> None:
    """What a published client sends is answered with what it reads, and stored as it was signed."""
    envelope_of, event, source = PUBLISHED[name]
    envelope = envelope_of(client, event)
    reply = await client.post(envelope)
    assert reply.status == 202
    assert sorted(reply.json) == ["eventId", "sessionId", "status"]
    assert reply.json["status"] == "accepted"
    assert reply.headers["x-contox-durability"] == "fsynced"
    (row,) = await stored(people)
    assert (row.event_id, row.session_id) == (reply.json["eventId"], reply.json["sessionId"])
    assert (row.project_id, row.event, row.source) == ("proj_1", event["type"], source)
    assert row.payload == as_javascript(event)
    assert (await people.running.entries())[0].form is Form.ENVELOPE
    assert people.running.gateway.endpoint._meter.get(Metric.EVENTS_ACCEPTED, "fsynced") == 1


async def test_saving_twice_and_sending_twice(client: Client) -> None:
    """The same text saved twice is two events; one envelope sent twice is one."""
    first, second = client.cli(SAVE), client.cli(SAVE)
    replies = [await client.post(envelope) for envelope in (first, second, first)]
    ids = [reply.json["eventId"] for reply in replies]
    assert ids[0] == ids[2] != ids[1]
    assert len({reply.json["sessionId"] for reply in replies}) == 1


RAW = '{ "n":1.0, "e" : 1e2,"s":"\\u00e9\\/", "type":"a", "n":-0.0 ,"big":12345678901234567890123}'


@pytest.mark.parametrize("extended", [False, True], ids=["event", "extended"])
async def test_bytes_survive(people: People, client: Client, extended: bool) -> None:
    """Numbers, escapes, order, blanks and repeated members are stored as they were signed."""
    timestamp = now()
    signed = f"mcp\n{timestamp}\nproj_1\n{RAW}" if extended else RAW
    head = {"source": "mcp", "timestamp": timestamp, "nonce": "n", "projectId": "proj_1"}
    head["signature"] = sign(SECRET, signed)
    reply = await client.post(f'{json.dumps(head)[:-1]}, "event" : {RAW} }}'.encode())
    assert reply.status == 202
    assert (await stored(people))[0].payload == RAW


async def test_compressed(client: Client) -> None:
    """An envelope may be compressed, since the signature is over what is in it."""
    body = gzip.compress(as_javascript(client.cli(SAVE)).encode())
    assert (await client.post(body, "Content-Encoding: gzip\r\n")).status == 202


async def test_who_may_write(people: People, client: Client) -> None:
    """The owner's key and an admin's may write; another user's and the operator's token may not."""
    for name, role, status in [("ada", "admin", 202), ("eve", "member", 403)]:
        other = client_of(people, await people.add(name, role))
        reply = await other.post(other.cli(SAVE))
        assert reply.status == status, name
    assert reply.json["code"] == "forbidden"
    operator = client._replace(key="t" * 40)
    assert (await operator.post(operator.cli(SAVE))).status == 403
    assert len(await people.running.entries()) == 1


async def test_project_of_nobody(people: People) -> None:
    """A project without an owner takes envelopes of admins alone."""
    bob = client_of(people, await people.add("bob"))
    assert (await bob.post(bob.cli(SAVE))).status == 403
    ada = client_of(people, await people.add("ada", "admin"))
    assert (await ada.post(ada.cli(SAVE))).status == 202


async def test_disabled_project(people: People, client: Client) -> None:
    """A project that is disabled takes none, and says so to who may write there."""
    await set_project(people, "status", "disabled")
    reply = await client.post(client.cli(SAVE))
    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    assert (await client._replace(secret="x").post(client.cli(SAVE) | {"nonce": ""})).status == 401


def changed(**members: Any) -> Any:
    """An envelope of which members are changed after signing."""
    return lambda client: client.cli(SAVE) | members


REFUSED = {
    "other secret": (lambda client: client._replace(secret="x").cli(SAVE), 401, "unauthorized"),
    "unknown project": (changed(projectId="proj_none"), 401, "unauthorized"),
    "no signature": (changed(signature=None), 401, "unauthorized"),
    "out of the window": (changed(timestamp="2024-01-15T09:50:00.123Z"), 401, "unauthorized"),
    "a plain event": (lambda _: EVENT, 401, "unauthorized"),
    "event changed": (changed(event={"type": "mcp_save"}), 401, "unauthorized"),
    "not JSON": (lambda _: b"{", 400, "invalid_json"),
    "a batch": (lambda client: as_javascript([client.cli(SAVE)]).encode(), 401, "unauthorized"),
    "no source": (changed(source=None), 400, "invalid_event"),
    "no type": (lambda client: client.cli({"a": 1}), 400, "invalid_event"),
    "large event": (lambda client: client.cli(SAVE | {"x": "y" * 2000}), 413, "too_large"),
    "large body": (lambda client: client.cli(SAVE) | {"x": "y" * 4000}, 413, "too_large"),
}


@pytest.mark.parametrize(("envelope", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(
    people: People, client: Client, envelope: Any, status: int, code: str
) -> None:
    """Each way to be wrong has its status and code, and nothing is enqueued."""
    reply = await client.post(envelope(client))
    assert (reply.status, reply.json["code"]) == (status, code)
    if status == 401:
        assert reply.json == UNAUTHORIZED
    assert await people.running.entries() == []


async def test_media_type(client: Client) -> None:
    """An envelope that is not said to be JSON, or in an unknown encoding, is 415."""
    body = as_javascript(client.cli(SAVE)).encode()
    assert (await client.post(body, "Content-Encoding: br\r\n")).status == 415
    assert (await client.post(body, "Content-Type: text/plain\r\n")).status == 415


KEYS = {
    "made up": "contox_sk_" + "0" * 43,
    "no key": "x",
    "nothing": "",
    "not ASCII": "contox_sk_ü",
    "deleted": None,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
async def test_key_comes_first(people: People, client: Client, key: str | None) -> None:
    """With a key that opens nothing, nothing is decompressed or parsed: 401, whatever is sent."""
    if key is None:
        (own,) = await people.keys.of_user("user_bob")
        body = {"keyId": own.id}
        bearer = f"Authorization: Bearer {client.key}\r\n"
        assert (await people.ask("DELETE", "/api/keys", bearer, body)).status == 204
        key = client.key
    stranger = client._replace(key=key)
    bodies: list[Any] = [stranger.cli(SAVE), b"{", b"\xff"]
    for sent in bodies:
        reply = await stranger.post(sent, "Content-Encoding: br\r\n" if sent == b"\xff" else "")
        assert (reply.status, reply.json) == (401, UNAUTHORIZED)


async def test_disabled_user(people: People, client: Client) -> None:
    """A key of a user who is disabled opens nothing."""
    await people.users.set_status("user_bob", "disabled", now_ms=1)
    assert (await client.post(client.cli(SAVE))).json == UNAUTHORIZED


async def test_two_keys(people: People, client: Client) -> None:
    """Two Authorization headers are refused: which counts is a question that attackers ask."""
    reply = await client.post(client.cli(SAVE), f"Authorization: Bearer {client.key}\r\n")
    assert reply.status in (400, 401)
    assert await people.running.entries() == []


@pytest.mark.parametrize("key", [KEYS["made up"], None], ids=["made-up", "real"])
async def test_signed_headers_count_alone(people: People, client: Client, key: str | None) -> None:
    """Where a request is signed by its headers, Authorization is not looked at."""
    producer = people.running.producer
    added = [("Authorization", f"Bearer {key or client.key}")]
    assert (await producer.post(added=added)).status == 202
    assert (await producer.post(added=added, changed={"X-Contox-Signature": "x"})).status == 401
    envelope = as_javascript(client.cli(SAVE)).encode()
    reply = await producer.post(envelope, added=added)
    assert (reply.status, reply.json["code"]) == (400, "invalid_event")
    assert (await people.running.entries())[0].form is Form.SINGLE


async def test_quota(start: Start) -> None:
    """Envelopes are paid for by the project, as any event is."""
    people = People(await start(CONTOX_QUOTA_EVENTS_S="1"))
    ada = client_of(people, await people.add("ada", "admin"))
    replies: list[Reply] = [await ada.post(ada.cli(SAVE)) for _ in range(3)]
    assert replies[0].status == 202
    assert replies[-1].status == 429
    assert replies[-1].headers["retry-after"]


async def test_full_backlog(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full backlog takes no envelopes either, and says when to come back."""
    backlog = people.running.gateway.backlog
    monkeypatch.setattr(backlog, "_update", lambda *_: None)  # or it would find out
    backlog.full = "full"
    reply = await client.post(client.cli(SAVE))
    assert (reply.status, reply.json["code"]) == (503, "backlog_full")
    assert reply.headers["retry-after"]


async def test_window_is_the_setting(people: People, client: Client) -> None:
    """The gateway's clock decides, by the window that is set."""
    envelopes = people.running.gateway.envelopes
    for off_s, status in ((290, 202), (-290, 202), (310, 401), (-310, 401)):
        envelopes._clock = lambda off_s=off_s: time.time() + off_s
        assert (await client.post(client.cli(SAVE))).status == status


async def test_too_much_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has had too many envelopes refused within a minute gets 429, and nothing more of
    theirs is decoded; of a quota, too. Other users are not concerned."""
    people = People(await start(CONTOX_API_REQUESTS_MINUTE="3"))
    ada, bob = [client_of(people, await people.add(name, "admin")) for name in ("ada", "bob")]
    decoded: list[object] = []
    read = Envelopes._read
    monkeypatch.setattr(Envelopes, "_read", lambda *of: decoded.append(of) or read(*of))
    bodies: list[Any] = [ada.cli(SAVE), b"{", b"[]", ada.cli(SAVE), ada.cli({"a": 1}), b"{"]
    replies = [await ada.post(body) for body in [*bodies, b"{", ada.cli(SAVE)]]
    assert [reply.status for reply in replies] == [202, 400, 401, 202, 400, 400, 429, 429]
    assert len(decoded) == 6
    assert replies[-1].json["code"] == "rate_limited"
    assert 0 < int(replies[-1].headers["retry-after"]) <= 60
    assert (await bob.post(bob.cli(SAVE))).status == 202
