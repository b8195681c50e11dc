"""Ledgers and dead letters over HTTP, on a real queue and a real store."""

import asyncio

import pytest
from redis.asyncio import Redis

from core.dead_letter import of_entry, of_event
from core.event import Row
from core.partitions import dead_letter_key, ledger_key
from tests.conftest import QueueServer
from tests.gateway.conftest import Running, Start
from tests.gateway.test_app import FIXED
from tests.raw_http import Reply, exchange

TOKEN = "t" * 40
LETTERS = "/api/v2/dead-letters"
LEDGER = "/api/projects/proj_1/ledger"
PAYLOAD = '{ "n":1.0,"x":"ü" }'
ROW = Row("proj_1", "evt_1", "sess_1", "poison", PAYLOAD, 0, 1_800_000_000_123)
UNAUTHORIZED = {
    "error": "Invalid or missing authentication credentials",
    "code": "unauthorized",
}
EVERY = [
    ("GET", LEDGER),
    ("GET", LETTERS),
    ("GET", f"{LETTERS}/0-1-0"),
    ("DELETE", f"{LETTERS}/0-1-0"),
    ("POST", f"{LETTERS}/0-1-0/replay"),
]


async def ask(
    running: Running, path: str, method: str = "GET", *authorization: str, headers: str = ""
) -> Reply:
    """An operator's request; with the token, unless other credentials are given."""
    lines = authorization or (f"Bearer {TOKEN}",)
    head = "".join(f"Authorization: {line}\r\n" for line in lines if line) + headers
    raw = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
    return await exchange(running.gateway.port, raw)


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with an operator's token."""
    return await start(CONTOX_OPERATOR_TOKEN=TOKEN, CONTOX_PARTITIONS="2")


async def add(queue: Redis, number: int, row: Row = ROW, partition: int = 0) -> str:
    """Add a dead letter, counted as an event of its project that was accepted and refused."""
    fields = of_event(b"1-0", row, "forbidden").fields()
    await queue.xadd(dead_letter_key(partition), fields, id=f"{number}-0")  # type: ignore[arg-type]
    for name in (f"{row.project_id}|a", f"{row.project_id}|d", "|a", "|s"):
        await queue.hincrby(ledger_key(partition), name, 1)
    return f"{partition}-{number}-0"


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_without_token(start: Start, method: str, path: str) -> None:
    """A gateway without a token lets nobody in with one, be it empty."""
    running = await start()
    for line in (f"Bearer {TOKEN}", "Bearer ", "Bearer None"):
        reply = await ask(running, path, method, line)
        assert (reply.status, reply.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "authorization",
    [
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (TOKEN,),
        (f"Basic {TOKEN}",),
        (f"Bearer {TOKEN[:-1]}",),
        (f"Bearer {TOKEN}t",),
        (f"Bearer {TOKEN} {TOKEN}",),
        ("Bearer ü",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
    ],
    ids=["none", "bare", "empty", "no-scheme", "basic", "short", "long", "two", "utf8", "twice"],
)
async def test_unauthorized(
    running: Running, method: str, path: str, authorization: tuple[str, ...]
) -> None:
    """Whatever is wrong with the credentials, it is the one 401."""
    reply = await ask(running, path, method, *authorization)
    assert (reply.status, reply.json) == (401, UNAUTHORIZED)
    assert FIXED.items() <= reply.headers.items()
    assert reply.headers["x-request-id"]


async def test_scheme(running: Running) -> None:
    """The scheme's case does not matter (RFC 9110, section 11.1)."""
    assert (await ask(running, LETTERS, "GET", f"bearer {TOKEN}")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", LETTERS, "GET,HEAD"),
        ("PUT", f"{LETTERS}/0-1-0", "DELETE,GET,HEAD"),
        ("GET", f"{LETTERS}/0-1-0/replay", "POST"),
    ],
)
async def test_method(running: Running, method: str, path: str, allow: str) -> None:
    """Another method is a 405 that says which ones there are."""
    reply = await ask(running, path, method)
    assert (reply.status, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == allow


async def test_page(running: Running, queue: Redis) -> None:
    """Dead letters come newest first, with the payload as it was signed."""
    await add(queue, 1)
    fields = of_entry(b"1-0", {b"h": b"9|x"}, "version").fields()
    await queue.xadd(dead_letter_key(1), fields, id="2-0")  # type: ignore[arg-type]
    reply = await ask(running, LETTERS)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    unread, event = reply.json["deadLetters"]
    assert event == {
        "id": "0-1-0",
        "projectId": "proj_1",
        "eventId": "evt_1",
        "event": "poison",
        "sessionId": "sess_1",
        "why": "forbidden",
        "receivedAt": "2027-01-15T08:00:00.123Z",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "payload": {"n": 1.0, "x": "ü"},
        "events": 1,
        "unreadable": False,
    }
    assert f'"payload":{PAYLOAD},'.encode() in reply.body
    shown = {name: value for name, value in unread.items() if value is not None}
    assert shown == {
        "id": "1-2-0",
        "projectId": "?",
        "why": "version",
        "events": 1,
        "unreadable": True,
    }
    assert reply.json["cursor"] is None
    assert (await ask(running, f"{LETTERS}/0-1-0")).json == event


async def test_cursor(running: Running, queue: Redis) -> None:
    """Pages follow each other; a project's are its own."""
    for n in range(1, 6):
        await add(queue, n, ROW._replace(project_id=f"proj_{n % 2}"))
    first = (await ask(running, f"{LETTERS}?projectId=proj_1&limit=2")).json
    assert [letter["id"] for letter in first["deadLetters"]] == ["0-5-0", "0-3-0"]
    rest = (await ask(running, f"{LETTERS}?projectId=proj_1&cursor={first['cursor']}")).json
    assert [letter["id"] for letter in rest["deadLetters"]] == ["0-1-0"]
    assert rest["cursor"] is None


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "`limit` must be a whole number from 1 to 200"),
        ("limit=201", "`limit` must be a whole number from 1 to 200"),
        ("limit=x", "`limit` must be a whole number from 1 to 200"),
        ("limit=", "`limit` must be a whole number from 1 to 200"),
        ("limit=%D9%A1", "`limit` must be a whole number from 1 to 200"),
        ("cursor=x", "`cursor` is not one of a page's"),
        ("cursor=0-1", "`cursor` is not one of a page's"),
    ],
)
async def test_bad_query(running: Running, query: str, told: str) -> None:
    """A value that cannot be is a 400 that names it."""
    reply = await ask(running, f"{LETTERS}?{query}")
    assert (reply.status, reply.json) == (400, {"error": told, "code": "bad_request"})


@pytest.mark.parametrize("letter_id", ["0-1-0", "x", "0-01-0", "%00", "%2E%2E%2Fx", "0-1-0%0A"])
async def test_no_letter(running: Running, letter_id: str) -> None:
    """What is not there is not found; replaying it does nothing, if it could be an id."""
    for method in ("GET", "DELETE"):
        reply = await ask(running, f"{LETTERS}/{letter_id}", method)
        assert (reply.status, reply.json["code"]) == (404, "not_found")
    reply = await ask(running, f"{LETTERS}/{letter_id}/replay", "POST")
    if letter_id == "0-1-0":
        assert (reply.status, reply.json) == (200, {"replayed": False})
    else:
        assert (reply.status, reply.json["code"]) == (404, "not_found")


async def test_replay(running: Running, queue: Redis) -> None:
    """A replay puts the event back into the stream, once."""
    path = f"{LETTERS}/{await add(queue, 1)}/replay"
    replies = await asyncio.gather(*(ask(running, path, "POST") for _ in range(10)))
    answers = [reply.json["replayed"] for reply in replies]
    assert sorted(answers) == [False] * 9 + [True]
    assert len(await running.entries()) == 1


async def test_replay_something_else(running: Running, queue: Redis) -> None:
    """What is no dead letter is not put back; it can be deleted."""
    await queue.xadd(dead_letter_key(0), {"x": "y"}, id="1-0")
    reply = await ask(running, f"{LETTERS}/0-1-0/replay", "POST")
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert (await ask(running, f"{LETTERS}/0-1-0", "DELETE")).status == 204


async def test_purge(running: Running, queue: Redis) -> None:
    """A purge is a 204 without a body; then there is no such letter."""
    path = f"{LETTERS}/{await add(queue, 1)}"
    reply = await ask(running, path, "DELETE")
    assert (reply.status, reply.body) == (204, b"")
    assert FIXED.items() <= reply.headers.items()
    assert (await ask(running, path, "DELETE")).status == 404
    assert await queue.xlen(dead_letter_key(0)) == 0


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_queue_away(
    start: Start, own_queue_server: QueueServer, method: str, path: str
) -> None:
    """While the queue is away the answer is a 503 that says when to come again."""
    running = await start(
        CONTOX_OPERATOR_TOKEN=TOKEN, CONTOX_REDIS_URL=own_queue_server.url, CONTOX_ACK="memory"
    )
    own_queue_server.stop()
    reply = await ask(running, path, method)
    assert (reply.status, reply.json["code"]) == (503, "queue_unavailable")
    assert reply.headers["retry-after"] == "1"
    own_queue_server.start()
