"""Stored events over HTTP: filters, pages, one event, and its dead letter."""

from typing import Any

import pytest
from redis.asyncio import Redis

from core.event import Row
from gateway.api import events as module
from gateway.api.events import _within, public
from store.events import SqlEvents
from tests.gateway.api.conftest import People, Person
from tests.gateway.api.test_dead_letters import add
from tests.gateway.api.test_projects import make
from tests.raw_http import Reply

START = 1_737_381_600_000  # 2025-01-20T14:00:00Z
MEMBERS = [
    *("eventId", "projectId", "sessionId", "event", "payload", "timestamp", "receivedAt", "source")
]


def row(project: str, number: int, **changed: Any) -> Row:
    """An event, a second after the one before."""
    plain = Row(
        project, f"evt_{number:03}", "sess_1", "saved", '{"n": 1.0}', None, START + number * 1000
    )
    return plain._replace(**changed)


@pytest.fixture
async def project(people: People, bob: Person) -> str:
    """A project of bob's with events: every third of another type, the last ten of a session."""
    made = await make(people, bob)
    rows = [
        row(
            made["id"],
            n,
            event="seen" if n % 3 == 0 else "saved",
            session_id="sess_1" if n < 110 else "sess_2",
            occurred_ms=START if n == 119 else None,
        )
        for n in range(120)
    ]
    await SqlEvents(people.users._engine).write(rows)
    return str(made["id"])


async def ask(people: People, person: Person, project: str, query: str = "") -> Reply:
    """A page."""
    path = f"/api/v2/events?projectId={project}&{query}"
    return await people.ask("GET", path, person.bearer)


def numbers(reply: Reply) -> list[int]:
    """Which events a page shows."""
    assert reply.status == 200, reply.body
    return [int(event["eventId"][4:]) for event in reply.json["events"]]


async def test_newest_first(people: People, bob: Person, project: str) -> None:
    """A page is newest first, of fifty unless told otherwise, and goes on by its cursor."""
    reply = await ask(people, bob, project)
    assert list(reply.json) == ["events", "cursor"]
    assert numbers(reply) == list(range(119, 69, -1))
    first = reply.json["events"][0]
    assert list(first) == MEMBERS
    assert (first["timestamp"], first["receivedAt"]) == (
        "2025-01-20T14:00:00.000Z",
        "2025-01-20T14:01:59.000Z",
    )
    seen, cursor = numbers(reply), reply.json["cursor"]
    while cursor:
        reply = await ask(people, bob, project, f"limit=33&cursor={cursor}")
        seen, cursor = seen + numbers(reply), reply.json["cursor"]
    assert seen == list(range(119, -1, -1))


async def test_large_page(people: People, bob: Person, project: str) -> None:
    """A page of more than is read at once is whole."""
    reply = await ask(people, bob, project, "limit=115")
    assert numbers(reply) == list(range(119, 4, -1))
    assert reply.json["cursor"]
    assert (await ask(people, bob, project, "limit=120")).json["cursor"] is None


async def test_payload(people: People, bob: Person, project: str) -> None:
    """A payload is shown byte for byte as it was signed."""
    reply = await ask(people, bob, project, "limit=1")
    assert b'"payload":{"n": 1.0}' in reply.body


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sessionId=sess_2", list(range(119, 109, -1))),
        ("event=seen&sessionId=sess_2", [117, 114, 111]),
        ("sessionId=sess_9", []),
        ("event=none", []),
        ("after=2025-01-20T14:01:57Z", [119, 118]),
        (f"after={START // 1000 + 117}", [119, 118]),
        ("before=2025-01-20T14:00:02Z", [1, 0]),
        ("before=2025-01-20T15:00:02%2B01:00", [1, 0]),
        ("after=2025-01-20T14:00:05Z&before=2025-01-20T14:00:10Z&event=seen", [9, 6]),
        ("after=&before=&event=&sessionId=&cursor=&limit=2", [119, 118]),
    ],
)
async def test_filters(
    people: People, bob: Person, project: str, query: str, expected: list[int]
) -> None:
    """Filters leave what fits all of them; an empty one is none."""
    assert numbers(await ask(people, bob, project, query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=1.5", "limit=-1", "limit=", "limit=%D9%A1",
        "cursor=x", "cursor=1-", "cursor=1-%00", "cursor=9999999999999999999-a", "cursor=1-%ff",
        "sessionId=%00", "sessionId=a%20b", "sessionId=" + "x" * 65, "sessionId=%ff",
        "event=%00", "event=" + "x" * 129, "event=a%2Fb",
        "after=yesterday", "after=1e3", "after=-1", "after=2025-01-20", "after=%D9%A1",
        "before=9999999999999", "before=2025-13-20T14:00:00Z", "before=2025-01-20T14:00:00",
    ],
)  # fmt: skip
async def test_bad_query(people: People, bob: Person, project: str, query: str) -> None:
    """What cannot be a value is a 400 that names it; nothing of it is repeated."""
    reply = await ask(people, bob, project, query)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert reply.json["error"].startswith(f"`{query.partition('=')[0]}` ")


@pytest.mark.parametrize(
    "query", ["", "?projectId=", "?projectId=a%00", "?projectId=%ff", "?projectid=x"]
)
@pytest.mark.parametrize("path", ["/api/v2/events", "/api/v2/events/evt_1"])
async def test_no_project(people: People, bob: Person, path: str, query: str) -> None:
    """Events are asked for by project; admins are not shown all of them."""
    reply = await people.ask("GET", path + query, bob.bearer)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert reply.json["error"].startswith("`projectId` must be ")


async def test_unknown_project(people: People, ada: Person, bob: Person) -> None:
    """A project that is not there is a 404; for admins, who see what deleted ones left, it is one
    without events."""
    for path, of_admin in (("/api/v2/events", 200), ("/api/v2/events/evt_1", 404)):
        reply = await people.ask("GET", f"{path}?projectId=proj_none", bob.bearer)
        told = {"error": "There is no such project", "code": "not_found"}
        assert (reply.status, reply.json) == (404, told)
        reply = await people.ask("GET", f"{path}?projectId=proj_none", ada.bearer)
        assert reply.status == of_admin
        if of_admin == 200:
            assert reply.json == {"events": [], "cursor": None}
        else:
            assert reply.json["error"] == "There is no such event"


async def test_one(people: People, bob: Person, project: str) -> None:
    """One event is got by its id, stored as it is."""
    reply = await people.ask("GET", f"/api/v2/events/evt_119?projectId={project}", bob.bearer)
    assert reply.status == 200
    assert list(reply.json) == [*MEMBERS, "status", "deadLetter"]
    assert (reply.json["eventId"], reply.json["status"]) == ("evt_119", "stored")
    assert reply.json["deadLetter"] is None


async def test_one_that_is_dead(people: People, bob: Person, project: str, queue: Redis) -> None:
    """An event that the store has refused is shown with the reason, as it was signed."""
    refused = row(project, 500, event_id="mine", payload='{ "n":1.0 }')
    await add(queue, 7, row(project, 501, event_id="other"))
    letter = await add(queue, 8, refused)
    await add(queue, 9, row("proj_1", 502, event_id="mine"))
    reply = await people.ask("GET", f"/api/v2/events/mine?projectId={project}", bob.bearer)
    assert reply.status == 200
    assert (reply.json["eventId"], reply.json["status"]) == ("mine", "dead_lettered")
    assert reply.json["deadLetter"] == {"id": letter, "why": "forbidden"}
    assert b'"payload":{ "n":1.0 }' in reply.body


@pytest.mark.parametrize("event", ["evt_999", "a%00", "x" * 65, "%ff", "a%2Fb", "sess_1"])
async def test_none(people: People, bob: Person, project: str, event: str) -> None:
    """An event that is neither stored nor dead is not there, and so is what can be no id."""
    reply = await people.ask("GET", f"/api/v2/events/{event}?projectId={project}", bob.bearer)
    assert reply.status == 404
    if "%2F" not in event:
        assert reply.json == {"error": "There is no such event", "code": "not_found"}


async def test_page_of_large_events(
    people: People, bob: Person, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose payloads are too large together is shorter, and goes on where it ends."""
    monkeypatch.setattr(module, "PAGE_BYTES_MAX", 100)
    seen, cursor, pages = list[int](), "", 0
    while cursor is not None:
        reply = await ask(people, bob, project, f"limit=200&cursor={cursor}")
        seen, cursor, pages = seen + numbers(reply), reply.json["cursor"], pages + 1
    assert (seen, pages) == (list(range(119, -1, -1)), 12)


def test_within() -> None:
    """A page has one event at least, however large."""
    rows = [row("proj_1", n, payload="x" * 40) for n in range(3)]
    assert [len(_within(rows, most)) for most in (10, 40, 79, 80, 119, 120, 500)] == [
        1,
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    assert _within([], 10) == []


def test_public() -> None:
    """What is not known is null."""
    assert public(row("proj_1", 0))["timestamp"] is None
