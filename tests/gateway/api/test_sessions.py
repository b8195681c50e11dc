"""Sessions over HTTP: opened, listed, closed; and what a closed one means for events."""

import asyncio
import time
from typing import Any

import pytest

from core.event import Row
from core.ids import session_id
from core.sessions import SESSION_MS, Session
from gateway.sessions import Sessions as OpenSessions
from store.events import SqlEvents
from store.sessions import SqlSessions
from tests.gateway.api.conftest import People, Person
from tests.gateway.api.test_projects import make, producer_of
from tests.raw_http import Producer

PATH = "/api/v2/sessions"
MEMBERS = [
    "id",
    "projectId",
    "startedAt",
    "status",
    "source",
    "messageCount",
    "summary",
    "updatedAt",
]  # fmt: skip


@pytest.fixture
async def project(people: People, bob: Person) -> str:
    """A project of bob's."""
    return str((await make(people, bob))["id"])


@pytest.fixture
async def sender(people: People, bob: Person, project: str) -> Producer:
    """Its producer."""
    return await producer_of(people, bob, project)


async def listed(people: People, person: Person, project: str, query: str = "") -> dict[str, Any]:
    """A page."""
    reply = await people.ask("GET", f"{PATH}?projectId={project}&{query}", person.bearer)
    assert reply.status == 200, reply.body
    content: dict[str, Any] = reply.json
    return content


async def close(people: People, person: Person, session: str) -> None:
    """Close a session."""
    reply = await people.ask("PATCH", f"{PATH}/{session}", person.bearer, {"status": "closed"})
    assert (reply.status, reply.json) == (200, {"ok": True, "sessionId": session})


async def session_of(sender: Producer) -> str:
    """The session that an event joins now."""
    reply = await sender.post()
    assert reply.status == 202
    return str(reply.json["sessionId"])


async def test_opened_by_an_event(
    people: People, bob: Person, project: str, sender: Producer
) -> None:
    """A session is listed from its first event on, active and without messages that are stored."""
    assert await listed(people, bob, project) == {"sessions": [], "total": 0}
    session = await session_of(sender)
    page = await listed(people, bob, project)
    (shown,) = page["sessions"]
    assert (list(shown), page["total"]) == (MEMBERS, 1)
    assert (shown["id"], shown["projectId"], shown["status"]) == (session, project, "active")
    assert (shown["source"], shown["messageCount"], shown["summary"]) == (None, 0, None)
    assert shown["startedAt"].endswith("Z")
    assert (await people.ask("GET", f"{PATH}/{session}", bob.bearer)).json == shown


async def test_known_before_it_is_stored(
    people: People, bob: Person, project: str, sender: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that the gateway has not yet written can be got and closed all the same."""
    monkeypatch.setattr(people.running.gateway._session_records, "_due", {})
    monkeypatch.setattr(people.running.gateway._session_records, "note", lambda _session: None)
    people.running.gateway._sessions._opened = lambda _session: None
    session = await session_of(sender)
    assert await SqlSessions(people.users._engine).get(session) is None
    await close(people, bob, session)
    assert await session_of(sender) != session


async def test_unknown_costs_little(
    people: People, ada: Person, bob: Person, sender: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is unknown is asked of the store once, however many are open; one that cannot
    be open by its age is not looked for among them."""
    for n in range(5):
        project = str((await make(people, bob, name=f"p{n}"))["id"])
        await (await producer_of(people, bob, project)).post()
    get, asked = SqlSessions.get, []
    monkeypatch.setattr(SqlSessions, "get", lambda *of: asked.append(of[1]) or get(*of))
    current, looked = OpenSessions.current, []
    monkeypatch.setattr(OpenSessions, "current", lambda *of: looked.append(of[1]) or current(*of))
    now_ms = int(time.time() * 1000)
    young, old = (session_id(at_ms, bytes(10)) for at_ms in (now_ms, now_ms - SESSION_MS))
    for identity in (young, old, "sess_x"):
        assert (await people.ask("GET", f"{PATH}/{identity}", ada.bearer)).status == 404
    assert asked == [young, old, "sess_x"]
    assert len(looked) == 1


async def test_counted(people: People, bob: Person, project: str, sender: Producer) -> None:
    """The count is of what is stored; so is the time of the last change."""
    session = await session_of(sender)
    rows = [Row(project, f"evt_{n}", session, "a", "{}", None, 1_900_000_000_000) for n in range(7)]
    await SqlEvents(people.users._engine).write(rows)
    shown = (await people.ask("GET", f"{PATH}/{session}", bob.bearer)).json
    assert (shown["messageCount"], shown["updatedAt"]) == (7, "2030-03-17T17:46:40.000Z")


async def test_closed(people: People, bob: Person, project: str, sender: Producer) -> None:
    """A closed session takes no more events: the next one opens another; closing again is fine."""
    session = await session_of(sender)
    assert await session_of(sender) == session
    await close(people, bob, session)
    await asyncio.sleep(0.2)
    new = await session_of(sender)
    assert new != session
    await close(people, bob, session)
    await asyncio.sleep(0.2)
    assert await session_of(sender) == new
    page = await listed(people, bob, project)
    assert [(one["id"], one["status"]) for one in page["sessions"]] == [
        (new, "active"),
        (session, "closed"),
    ]


async def test_created(people: People, bob: Person, project: str, sender: Producer) -> None:
    """A session that is created is the one that events join, and ends the one before."""
    old = await session_of(sender)
    body = {"projectId": project, "source": "vscode"}
    reply = await people.ask("POST", PATH, bob.bearer, body)
    new = reply.json["sessionId"]
    assert (reply.status, reply.json) == (200, {"ok": True, "sessionId": new})
    await asyncio.sleep(0.2)
    assert await session_of(sender) == new
    page = await listed(people, bob, project)
    found = [(one["id"], one["status"], one["source"]) for one in page["sessions"]]
    assert found == [(new, "active", "vscode"), (old, "closed", None)]


async def test_filtered(people: People, bob: Person, project: str) -> None:
    """A page is of one status, or both; `total` counts all of them, however short the page is."""
    for _ in range(3):
        await people.ask("POST", PATH, bob.bearer, {"projectId": project})
    for query, found, total in (
        ("", 3, 3),
        ("status=", 3, 3),
        ("status=active", 1, 1),
        ("status=closed", 2, 2),
        ("limit=2", 2, 3),
        ("status=closed&limit=1", 1, 2),
    ):
        page = await listed(people, bob, project, query)
        assert (len(page["sessions"]), page["total"]) == (found, total), query
        starts = [one["id"] for one in page["sessions"]]
        assert starts == sorted(starts, reverse=True)


async def test_over_after_four_hours(people: People, bob: Person, project: str) -> None:
    """A session is closed four hours after its start, although nobody has closed it."""
    old = Session("sess_old", project, 1_737_381_600_000 - SESSION_MS)
    await SqlSessions(people.users._engine).opened([old])
    (shown,) = (await listed(people, bob, project, "status=closed"))["sessions"]
    assert (shown["id"], shown["status"]) == ("sess_old", "closed")


@pytest.mark.parametrize(
    "body",
    [
        {"status": "active"},
        {"status": "CLOSED"},
        {"status": None},
        {},
        {"status": 1},
    ],
    ids=str,
)
async def test_bad_status(
    people: People, bob: Person, project: str, sender: Producer, body: dict[str, Any]
) -> None:
    """A session can only be closed; what else is asked changes nothing."""
    session = await session_of(sender)
    reply = await people.ask("PATCH", f"{PATH}/{session}", bob.bearer, body)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert await session_of(sender) == session


@pytest.mark.parametrize("source", ["", "x" * 65, "a b", "a\0", 1])
async def test_bad_source(people: People, bob: Person, project: str, source: Any) -> None:
    """A source is a short name; a session of another one is not opened."""
    body = {"projectId": project, "source": source}
    reply = await people.ask("POST", PATH, bob.bearer, body)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert (await listed(people, bob, project))["total"] == 0


@pytest.mark.parametrize("query", ["status=open", "status=%00", "limit=0", "limit=x"])
async def test_bad_query(people: People, bob: Person, project: str, query: str) -> None:
    """What cannot be a value is a 400 that names it."""
    reply = await people.ask("GET", f"{PATH}?projectId={project}&{query}", bob.bearer)
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert reply.json["error"].startswith(f"`{query.partition('=')[0]}` must be ")


@pytest.mark.parametrize("session", ["sess_none", "a%00", "x" * 65, "%ff"])
async def test_none(people: People, ada: Person, bob: Person, session: str) -> None:
    """A session that there is not is a 404, for admins, too."""
    told = {"error": "There is no such session", "code": "not_found"}
    for person in (ada, bob):
        for method, body in (("GET", None), ("PATCH", {"status": "closed"})):
            reply = await people.ask(method, f"{PATH}/{session}", person.bearer, body)
            assert (reply.status, reply.json) == (404, told)


async def test_anothers(people: People, ada: Person, project: str, sender: Producer) -> None:
    """Another user's session is not there, and stays open; an admin may close it."""
    eve = await people.add("eve")
    session = await session_of(sender)
    for method, body in (("GET", None), ("PATCH", {"status": "closed"})):
        reply = await people.ask(method, f"{PATH}/{session}", eve.bearer, body)
        assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert await session_of(sender) == session
    await close(people, ada, session)
