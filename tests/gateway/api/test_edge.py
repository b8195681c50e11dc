"""Around the API: how often a client may ask, and what other origins' pages may."""

import time
from unittest.mock import AsyncMock

import pytest

from core.metrics import Metric
from store.users import SqlApiKeys
from tests.conftest import QueueServer
from tests.gateway.api.conftest import OWN, People
from tests.gateway.conftest import Start
from tests.gateway.test_app import FIXED

APP = "https://app.example.com"
ME = "/api/auth/me"
PREFLIGHT = "Access-Control-Request-Method: DELETE\r\n"
RATES = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]


@pytest.fixture
async def people(start: Start) -> People:
    """A gateway behind a proxy on this host, which allows another origin and three requests."""
    people = People(
        await start(
            CONTOX_API_REQUESTS_MINUTE="3",
            CONTOX_TRUSTED_PROXIES="127.0.0.1",
            CONTOX_CORS_ORIGINS=APP,
        )
    )
    await people.add("ada")
    return people


async def test_limit(people: People) -> None:
    """Over the limit the answer is a 429 in the words of the contract, until the window ends."""
    for left in (2, 1, 0):
        reply = await people.ask("GET", ME)
        limit, remaining, reset_s = (int(reply.headers[name]) for name in RATES)
        assert (reply.status, limit, remaining) == (401, 3, left)
        assert 0 < reset_s - time.time() <= 61
    reply = await people.ask("GET", ME)
    wait_s = int(reply.headers["retry-after"])
    assert 0 < wait_s <= 60
    told = f"Rate limit exceeded. Please retry after {wait_s} seconds."
    assert (reply.status, reply.json) == (429, {"error": told, "code": "rate_limited"})
    assert reply.headers["x-ratelimit-remaining"] == "0"
    assert FIXED.items() <= reply.headers.items()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ME, 401),
        ("GET", "/api/nothing", 404),
        ("PUT", ME, 405),
        ("OPTIONS", ME, 405),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_every_answer(people: People, method: str, path: str, status: int) -> None:
    """Each answer of the API says how far the client has come, whatever it is."""
    reply = await people.ask(method, path)
    assert reply.status == status
    assert all(name in reply.headers for name in RATES)


async def test_others_do_not_count(people: People) -> None:
    """Ingest and the pages for orchestrators neither count nor are refused."""
    for _ in range(5):
        for method, path, status in (
            ("GET", "/healthz", 200),
            ("GET", "/readyz", 200),
            ("GET", "/metrics", 200),
            ("POST", "/api/v2/ingest", 401),
        ):
            reply = await people.ask(method, path)
            assert reply.status == status
            assert RATES[0] not in reply.headers
    assert (await people.ask("GET", ME)).headers["x-ratelimit-remaining"] == "2"


async def test_made_up_keys(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose keys open nothing at ingest is soon not looked up any more: 429, until the
    window ends. Other clients are, and requests that are signed by their headers always."""
    by_digest, asked = AsyncMock(return_value=None), []
    monkeypatch.setattr(SqlApiKeys, "by_digest", by_digest)
    here, elsewhere = ("X-Forwarded-For: 198.51.100.7\r\n", "X-Forwarded-For: 198.51.100.8\r\n")
    for n in range(6):
        key = f"Authorization: Bearer contox_sk_{n:043}\r\n"
        asked.append(await people.ask("POST", "/api/v2/ingest", here + key, {}))
    assert [reply.status for reply in asked] == [401] * 4 + [429] * 2
    assert by_digest.await_count == 4
    assert 0 < int(asked[-1].headers["retry-after"]) <= 60
    assert asked[-1].json["code"] == "rate_limited"
    assert people.running.gateway.endpoint._meter.get(Metric.REQUESTS, "429", "rate_limited") == 2
    assert (await people.ask("POST", "/api/v2/ingest", elsewhere + key, {})).status == 401
    assert (await people.ask("GET", ME, here)).headers["x-ratelimit-remaining"] == "2"
    added = [("X-Forwarded-For", "198.51.100.7"), ("Authorization", "Bearer x")]
    assert (await people.running.producer.post(added=added)).status == 202


async def test_each_client(people: People) -> None:
    """Behind a trusted proxy each client has its own limit; what a client claims is no other."""
    for n in range(3):
        line = f"X-Forwarded-For: 203.0.113.{n}, 198.51.100.7\r\n"
        assert (await people.ask("GET", ME, line)).status == 401
    claimed = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n"
    assert (await people.ask("GET", ME, claimed)).status == 429
    assert (await people.ask("GET", ME, "X-Forwarded-For: 198.51.100.8\r\n")).status == 401


async def test_shared_by_gateways(people: People, start: Start) -> None:
    """All gateways count together."""
    other = await start(CONTOX_API_REQUESTS_MINUTE="3")
    ports = [people.running.gateway.port, other.gateway.port]
    statuses = [(await people.ask("GET", ME, port=ports[n % 2])).status for n in range(4)]
    assert statuses == [401, 401, 401, 429]


async def test_preflight(people: People) -> None:
    """A page of an allowed origin may send what the API takes, with a key."""
    reply = await people.ask("OPTIONS", "/api/keys", f"Origin: {APP}\r\n{PREFLIGHT}")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == APP
    assert "DELETE" in reply.headers["access-control-allow-methods"]
    assert "Authorization" in reply.headers["access-control-allow-headers"]
    assert reply.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", APP + ".evil.example", "*"])
async def test_not_allowed(people: People, origin: str) -> None:
    """Another origin's page may send nothing, and read no answer."""
    asked = await people.ask("OPTIONS", "/api/keys", f"Origin: {origin}\r\n{PREFLIGHT}")
    assert (asked.status, asked.json["code"]) == (405, "method_not_allowed")
    sent = await people.ask("GET", ME, f"Origin: {origin}\r\n")
    for reply in (asked, sent):
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.headers["vary"] == "Origin"


async def test_answers_to_an_allowed_origin(people: People) -> None:
    """The page can read the answer, and how far it has come."""
    reply = await people.ask("GET", ME, f"Origin: {APP}\r\n")
    assert reply.headers["access-control-allow-origin"] == APP
    assert "X-RateLimit-Remaining" in reply.headers["access-control-expose-headers"]


async def test_nobody_is_allowed(start: Start) -> None:
    """By default no other origin is, and nothing is said of origins."""
    people = People(await start())
    asked = await people.ask("OPTIONS", "/api/keys", f"Origin: {APP}\r\n{PREFLIGHT}")
    assert asked.status == 405
    assert not [name for name in asked.headers if name.startswith(("access-control", "vary"))]


async def test_public_origins(start: Start) -> None:
    """Where a proxy changes the Host header, the origins that are set are ours, and only those."""
    people = People(await start(CONTOX_PUBLIC_ORIGINS=APP))
    await people.add("ada")
    _, cookie = await people.sign_in("ada")
    for origin, status in ((f"Origin: {APP}\r\n", 201), (OWN, 403)):
        line = cookie.removesuffix(OWN) + origin
        assert (await people.ask("POST", "/api/keys", line, {"name": "x"})).status == status


async def test_queue_away(start: Start, own_queue_server: QueueServer) -> None:
    """Without Redis nothing is served that should be counted; ingest and pages go on."""
    people = People(await start(CONTOX_REDIS_URL=own_queue_server.url, CONTOX_ACK="memory"))
    own_queue_server.stop()
    for path in (ME, "/api/nothing"):
        reply = await people.ask("GET", path)
        assert (reply.status, reply.json["code"]) == (503, "queue_unavailable")
        limit, remaining, reset_s = (int(reply.headers[name]) for name in RATES)
        assert (limit, remaining) == (200, 0)
        assert 0 < reset_s - time.time() <= 2
    assert (await people.ask("GET", "/healthz")).status == 200
    own_queue_server.start()
