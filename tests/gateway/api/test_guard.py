"""What bad input gets, for each endpoint: one table of requests, and one of answers."""

from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from gateway.api.keys import new_key
from tests.gateway.api.conftest import OWN, PASSWORD, UNAUTHORIZED, People, Person
from tests.gateway.api.test_dead_letters import LETTERS
from tests.gateway.test_app import FIXED
from tests.raw_http import chunked, exchange

TOKEN = "t" * 40


class Endpoint(NamedTuple):
    """A request that is right, and which methods there are at its path."""

    method: str
    path: str
    body: dict[str, Any] | None
    allow: str


SIGN_IN = Endpoint("POST", "/api/auth/sign-in", {"email": "a@b", "password": PASSWORD}, "POST")
ONE_PROJECT = "DELETE,GET,HEAD,PATCH"
KNOWN = [
    Endpoint("POST", "/api/auth/sign-out", {"everywhere": False}, "POST"),
    Endpoint("GET", "/api/auth/me", None, "GET,HEAD"),
    Endpoint("GET", "/api/keys", None, "DELETE,GET,HEAD,POST"),
    Endpoint("POST", "/api/keys", {"name": "x"}, "DELETE,GET,HEAD,POST"),
    Endpoint("DELETE", "/api/keys", {"keyId": "key_1"}, "DELETE,GET,HEAD,POST"),
    Endpoint("GET", "/api/projects", None, "GET,HEAD,POST"),
    Endpoint("POST", "/api/projects", {"name": "x", "visibility": "private"}, "GET,HEAD,POST"),
    Endpoint("GET", "/api/projects/proj_1", None, ONE_PROJECT),
    Endpoint("PATCH", "/api/projects/proj_1", {"name": "x", "status": "disabled"}, ONE_PROJECT),
    Endpoint("DELETE", "/api/projects/proj_1", {"name": "x", "deleteEvents": True}, ONE_PROJECT),
    Endpoint("GET", "/api/projects/proj_1/hmac-secret", None, "GET,HEAD"),
    Endpoint("POST", "/api/projects/proj_1/rotate", {"graceSeconds": 5}, "POST"),
    Endpoint("GET", "/api/projects/proj_1/ledger", None, "GET,HEAD"),
    Endpoint("GET", "/api/v2/events?projectId=proj_1", None, "GET,HEAD"),
    Endpoint("GET", "/api/v2/events/evt_1?projectId=proj_1", None, "GET,HEAD"),
    Endpoint("GET", "/api/v2/sessions?projectId=proj_1", None, "GET,HEAD,POST"),
    Endpoint("POST", "/api/v2/sessions", {"projectId": "proj_1", "source": "x"}, "GET,HEAD,POST"),
    Endpoint("GET", "/api/v2/sessions/sess_1", None, "GET,HEAD,PATCH"),
    Endpoint("PATCH", "/api/v2/sessions/sess_1", {"status": "closed"}, "GET,HEAD,PATCH"),
    Endpoint("GET", LETTERS, None, "GET,HEAD"),
    Endpoint("GET", f"{LETTERS}/0-1-0", None, "DELETE,GET,HEAD"),
    Endpoint("DELETE", f"{LETTERS}/0-1-0", None, "DELETE,GET,HEAD"),
    Endpoint("POST", f"{LETTERS}/0-1-0/replay", None, "POST"),
]
EVERY = [SIGN_IN, *KNOWN]
WITH_BODY = [endpoint for endpoint in EVERY if endpoint.body is not None]
OPTIONAL = ("/api/auth/sign-out", "/api/projects/proj_1/rotate")
NEEDS_BODY = [endpoint for endpoint in WITH_BODY if endpoint.path not in OPTIONAL]
OF_PROJECT = [endpoint for endpoint in KNOWN if "proj_1" in f"{endpoint.path}{endpoint.body}"]
WRITES = [endpoint for endpoint in KNOWN if endpoint.method != "GET"]
INVALID_JSON = {"error": "The body is not valid JSON", "code": "invalid_json"}


def name_of(value: object) -> str | None:
    """The id of a case."""
    return f"{value.method} {value.path}" if isinstance(value, Endpoint) else None


def each(endpoints: list[Endpoint]) -> pytest.MarkDecorator:
    """A test of several endpoints."""
    return pytest.mark.parametrize("endpoint", endpoints, ids=name_of)


@each(EVERY)
async def test_method(people: People, endpoint: Endpoint) -> None:
    """Another method is a 405 that says which ones there are."""
    reply = await people.ask("PUT", endpoint.path)
    assert (reply.status, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == endpoint.allow
    assert FIXED.items() <= reply.headers.items()


CREDENTIALS = [
    "",
    "Authorization: \r\n",
    "Authorization: Bearer\r\n",
    "Authorization: Bearer \xff\xfe\r\n",
    "Authorization: Basic YTpi\r\n",
    f"Authorization: Bearer {TOKEN}x\r\n",
    f"Authorization: Bearer contox_sk_{'0' * 43}\r\n",
    f"Authorization: Bearer contox_sk_{'0' * 42}\r\n",
    f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n",
    f"Cookie: __Host-contox_session={'A' * 43}\r\n" + OWN,
    "Cookie: __Host-contox_session=\r\n" + OWN,
    "Cookie: __Host-contox_session=%00\u00fc;;=;\r\n" + OWN,
    f"Cookie: contox_session={'A' * 43}\r\n" + OWN,
    f"Authorization: Basic x\r\nCookie: __Host-contox_session={'A' * 43}\r\n",
]


@each(KNOWN)
async def test_credentials(people: People, endpoint: Endpoint) -> None:
    """Whatever is wrong with the credentials, it is the one 401, before the body is looked at."""
    for line in CREDENTIALS:
        reply = await people.ask(endpoint.method, endpoint.path, line, b"{")
        assert (reply.status, reply.json) == (401, UNAUTHORIZED), line
        assert FIXED.items() <= reply.headers.items()
        assert reply.headers["cache-control"] == "no-store"


@each(KNOWN)
async def test_ended_credentials(people: People, queue: Redis, endpoint: Endpoint) -> None:
    """What was right once is the same 401: a deleted key, a disabled user, an expired cookie."""
    off = await people.add("off", "admin", status="disabled")
    ada = await people.add("ada", "admin")
    gone, key = new_key(ada.user.id, "gone", 1)
    await people.keys.add(key)
    deletion = await people.ask("DELETE", "/api/keys", ada.bearer, {"keyId": key.id})
    assert deletion.status == 204
    _, expired = await people.sign_in("ada")
    await queue.delete(*await queue.keys("contox:sign-in:*"))
    for line in (off.bearer, f"Authorization: Bearer {gone}\r\n", expired):
        reply = await people.ask(endpoint.method, endpoint.path, line, endpoint.body)
        assert (reply.status, reply.json) == (401, UNAUTHORIZED)


FOREIGN = [
    "",
    "Origin: null\r\n",
    "Origin: http://evil.test\r\n",
    "Origin: http://gateway.test.evil.test\r\n",
    "Origin: http://gateway.test:8080\r\n",
    "Origin: gateway.test\r\n",
    OWN + OWN,
]


@each(WRITES)
async def test_origin(people: People, ada: Person, endpoint: Endpoint) -> None:
    """What changes something with a cookie must come from a page of ours, and only that."""
    _, cookie = await people.sign_in("ada")
    told = "The request does not come from this gateway's own pages"
    for origin in FOREIGN:
        line = cookie.removesuffix(OWN) + origin
        reply = await people.ask(endpoint.method, endpoint.path, line, endpoint.body)
        assert (reply.status, reply.json) == (403, {"error": told, "code": "forbidden"}), origin
    assert (await people.ask("GET", "/api/auth/me", cookie)).status == 200
    project = await people.running.projects.get("proj_1")
    assert project is not None
    assert (project.name, project.status, project.updated_ms) == ("demo", "active", 1)
    assert len(await people.keys.of_user(ada.user.id)) == 1


async def test_reading_needs_no_origin(people: People, ada: Person) -> None:
    """A browser sends no Origin when it reads; nor does a program with a key when it writes."""
    _, cookie = await people.sign_in("ada")
    line = cookie.removesuffix(OWN)
    assert (await people.ask("GET", "/api/keys", line)).status == 200
    assert (await people.ask("POST", "/api/keys", ada.bearer, {"name": "x"})).status == 201


NO_JSON = [
    b"{",
    b'"\xff"',
    b"{'name': 1}",
    b'{"name": NaN}',
    b"[" * 60_000,
    b'{"else":"\xff"}',
    b'{"else":' + b"[" * 60_000,
    b'{"name": "\\ud800", "email": "\\ud800", "keyId": "\\ud800", "everywhere": "\\ud800"}',
]


@each(WITH_BODY)
async def test_no_json(people: People, ada: Person, endpoint: Endpoint) -> None:
    """What is not JSON is a 400, whatever it is, in members that are ignored, too."""
    for body in NO_JSON:
        reply = await people.ask(endpoint.method, endpoint.path, ada.bearer, body)
        assert (reply.status, reply.json) == (400, INVALID_JSON), body[:80]


@each(NEEDS_BODY)
async def test_missing_body(people: People, ada: Person, endpoint: Endpoint) -> None:
    """No body, and an empty one, are not JSON; a body of no type is not taken."""
    line = ada.bearer + "Content-Type: application/json\r\n"
    for body in (None, b""):
        reply = await people.ask(endpoint.method, endpoint.path, line, body)
        assert (reply.status, reply.json) == (400, INVALID_JSON)
    reply = await people.ask(endpoint.method, endpoint.path, ada.bearer)
    assert (reply.status, reply.json["code"]) == (415, "unsupported_media_type")


@each(WITH_BODY)
async def test_wrong_shape(people: People, ada: Person, endpoint: Endpoint) -> None:
    """JSON of another shape is a 400 that says where; what was sent is not repeated."""
    members = b",".join(b'"%s":["hunter2"]' % name.encode() for name in endpoint.body or {})
    for body in (b"[]", b"null", b"1", b'"hunter2"', b"{%s}" % members):
        reply = await people.ask(endpoint.method, endpoint.path, ada.bearer, body)
        assert (reply.status, reply.json["code"]) == (400, "bad_request"), body
        assert reply.json["error"].startswith("The body is not as it should be: Expected `")
        assert b"hunter2" not in reply.body


@each(WITH_BODY)
async def test_oversize_body(people: People, ada: Person, endpoint: Endpoint) -> None:
    """A body over 64 KiB is a 413, announced or in chunks, and the connection ends."""
    told = {"error": "The body is over 65,536 bytes", "code": "too_large"}
    large = b'{"name":"' + b"x" * 65_536 + b'"}'
    line = ada.bearer
    reply = await people.ask(endpoint.method, endpoint.path, line, large)
    assert (reply.status, reply.json, reply.headers["connection"]) == (413, told, "close")
    head = (
        f"{endpoint.method} {endpoint.path} HTTP/1.1\r\nHost: x\r\n{ada.bearer}"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    reply = await exchange(people.running.gateway.port, head.encode() + chunked(large))
    assert (reply.status, reply.json, reply.headers["connection"]) == (413, told, "close")


MEDIA = [
    "Content-Type: text/plain\r\n",
    "Content-Type: application/x-www-form-urlencoded\r\n",
    "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
]


@each(WITH_BODY)
async def test_media_type(people: People, ada: Person, endpoint: Endpoint) -> None:
    """Only plain JSON is taken: a form of another's page is not."""
    told = {"error": "Send application/json, as it is", "code": "unsupported_media_type"}
    for header in MEDIA:
        line = ada.bearer + header
        reply = await people.ask(endpoint.method, endpoint.path, line, endpoint.body)
        assert (reply.status, reply.json) == (415, told), header


@each([endpoint for endpoint in KNOWN if endpoint.path.startswith(LETTERS)])
async def test_for_admins(people: People, ada: Person, bob: Person, endpoint: Endpoint) -> None:
    """Dead letters are for admins and the operator's token; a member is told so."""
    reply = await people.ask(endpoint.method, endpoint.path, bob.bearer)
    assert (reply.status, reply.json) == (403, {"error": "This is for admins", "code": "forbidden"})
    for line in (ada.bearer, f"Authorization: Bearer {TOKEN}\r\n"):
        assert (await people.ask(endpoint.method, endpoint.path, line)).status in (200, 404)


@each(OF_PROJECT)
async def test_anothers_project(people: People, bob: Person, endpoint: Endpoint) -> None:
    """What is of another's project does not exist: the same 404 as for none; nothing is done."""
    told = {"error": "There is no such project", "code": "not_found"}
    for project in ("proj_1", "proj_9"):
        path, body = endpoint.path.replace("proj_1", project), endpoint.body
        if body and "projectId" in body:
            body = {**body, "projectId": project}
        reply = await people.ask(endpoint.method, path, bob.bearer, body)
        assert (reply.status, reply.json) == (404, told)
    found = await people.running.projects.get("proj_1")
    assert found is not None
    assert (found.name, found.status, found.updated_ms) == ("demo", "active", 1)


@each(OF_PROJECT)
async def test_admins_see_every_project(people: People, ada: Person, endpoint: Endpoint) -> None:
    """An admin, and whoever has the operator's token, may ask about anybody's project."""
    body = {**endpoint.body, "name": "demo"} if endpoint.body else None
    for line in (ada.bearer, f"Authorization: Bearer {TOKEN}\r\n"):
        reply = await people.ask(endpoint.method, endpoint.path, line, body)
        assert reply.status != 403
        assert reply.status < 300 or "evt_1" in endpoint.path or "DELETE" in endpoint.method


async def test_expectation(people: People, ada: Person) -> None:
    """A client that expects something else than 100-continue gets a 400, as with events."""
    line = ada.bearer + "Expect: the-worst\r\n"
    reply = await people.ask("POST", "/api/keys", line, {"name": "x"})
    assert (reply.status, reply.json["code"]) == (400, "bad_request")


async def test_failures_are_counted(people: People) -> None:
    """An operator sees by its cause what a client is not told."""
    await people.ask("GET", "/api/auth/me", f"Authorization: Bearer contox_sk_{'0' * 43}\r\n")
    page = (await people.ask("GET", "/metrics")).body.decode()
    assert 'contox_ingest_auth_failures_total{failure="unknown_key"} 1.0' in page
