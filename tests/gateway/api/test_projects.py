"""Projects over HTTP: whose they are, what can be changed, and how one is deleted."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from core.event import Row
from core.ports import EventFilter
from gateway.api import deletions
from gateway.api import projects as module
from store.events import SqlEvents
from tests.gateway.api.conftest import People, Person
from tests.gateway.conftest import until
from tests.raw_http import Producer

PATH = "/api/projects"
MEMBERS = ["id", "name", "description", "visibility", "status", "createdAt", "updatedAt"]


async def make(people: People, person: Person, name: str = "app", **more: Any) -> dict[str, Any]:
    """A new project, as the API tells of it."""
    reply = await people.ask("POST", PATH, person.bearer, {"name": name, **more})
    assert reply.status == 201, reply.body
    content: dict[str, Any] = reply.json
    return content


async def producer_of(people: People, person: Person, project: str) -> Producer:
    """A producer of a project, with the secret that the API tells."""
    reply = await people.ask("GET", f"{PATH}/{project}/hmac-secret", person.bearer)
    assert list(reply.json) == ["hmacSecret"]
    return Producer(people.running.gateway.port, project, reply.json["hmacSecret"])


async def test_made(people: People, bob: Person) -> None:
    """A new project is active and private, has the documented members, and takes events at once."""
    made = await make(people, bob, " my-app ")
    assert list(made) == MEMBERS
    assert made["id"].startswith("proj_")
    assert [made[name] for name in MEMBERS[1:5]] == ["my-app", "", "private", "active"]
    assert made["createdAt"] == made["updatedAt"]
    assert made["createdAt"].endswith("Z")
    producer = await producer_of(people, bob, made["id"])
    assert (await producer.post()).status == 202


async def test_made_with_everything(people: People, bob: Person) -> None:
    """A description and a visibility are kept as they were sent; null is no description."""
    made = await make(people, bob, "a", description="Zeile 1\nünd 2", visibility="public")
    assert (made["description"], made["visibility"]) == ("Zeile 1\nünd 2", "public")
    assert (await make(people, bob, "b", description=None))["description"] == ""


async def test_own_are_listed(people: People, ada: Person, bob: Person) -> None:
    """A member sees their own projects, oldest first; an admin all; who has none gets []."""
    eve = await people.add("eve")
    one, two = await make(people, bob, "one"), await make(people, bob, "two")
    assert (await people.ask("GET", PATH, bob.bearer)).json == [one, two]
    assert (await people.ask("GET", f"{PATH}?teamId=x", bob.bearer)).json == [one, two]
    assert (await people.ask("GET", PATH, eve.bearer)).json == []
    listed = (await people.ask("GET", PATH, ada.bearer)).json
    assert [project["id"] for project in listed] == ["proj_1", one["id"], two["id"]]


async def test_found_by_name(people: People, bob: Person) -> None:
    """With a name only the project that is called exactly so is listed, or none."""
    await make(people, bob, "one")
    two = await make(people, bob, "zwei & mehr")
    await make(people, await people.add("eve"), "eves")

    async def named(name: str) -> Any:
        path = f"{PATH}?{urlencode({'teamId': 'x', 'name': name})}"
        return (await people.ask("GET", path, bob.bearer)).json

    assert await named("zwei & mehr") == [two]
    assert await named(" zwei & mehr ") == [two]  # as it would be called if it were made
    for other in ("zwei", "Zwei & mehr", "eves", "on_", "%"):
        assert await named(other) == []
    told = {"error": "`name` must be 1 to 100 printable characters", "code": "bad_request"}
    for wrong in ("x" * 101, " ", "a\nb"):
        assert await named(wrong) == told


async def test_own_name_first(people: People, ada: Person, bob: Person) -> None:
    """An admin's own project of a name is listed before others' of that name."""
    bobs = await make(people, bob, "app")
    own = await make(people, ada, "app")
    path = f"{PATH}?name=app"
    assert (await people.ask("GET", path, ada.bearer)).json == [own, bobs]
    assert (await people.ask("GET", path, bob.bearer)).json == [bobs]


async def test_names_are_ones_own(people: People, bob: Person) -> None:
    """A name is taken only among one's own projects, so that a conflict tells of nobody else's."""
    eve = await people.add("eve")
    one = await make(people, bob, "app")
    await make(people, eve, "app")
    await make(people, bob, "demo")
    told = {"error": "You have a project of this name already", "code": "conflict"}
    reply = await people.ask("POST", PATH, bob.bearer, {"name": " app"})
    assert (reply.status, reply.json) == (409, told)
    reply = await people.ask("PATCH", f"{PATH}/{one['id']}", bob.bearer, {"name": "demo"})
    assert (reply.status, reply.json) == (409, told)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\0", "\u202e"])
async def test_bad_names(people: People, bob: Person, name: str) -> None:
    """A name is 1 to 100 printable characters, of a new project and of one that is there."""
    told = "`name` must be 1 to 100 printable characters"
    one = await make(people, bob)
    for method, path in (("POST", PATH), ("PATCH", f"{PATH}/{one['id']}")):
        reply = await people.ask(method, path, bob.bearer, {"name": name})
        assert (reply.status, reply.json) == (400, {"error": told, "code": "bad_request"})


@pytest.mark.parametrize(
    "body",
    [
        {"visibility": "secret"},
        {"description": "x" * 2_001},
        {"description": "a\0b"},
        {"description": 1},
        {"status": "deleting"},
        {"status": "DISABLED"},
        {"status": None},
        {"name": None},
    ],
    ids=str,
)
async def test_bad_members(people: People, bob: Person, body: dict[str, Any]) -> None:
    """A member of another kind is a 400, and changes nothing."""
    made = await make(people, bob)
    path = f"{PATH}/{made['id']}"
    for method, where in (("POST", PATH), ("PATCH", path)):
        if method == "POST" and "status" in body:
            continue
        reply = await people.ask(method, where, bob.bearer, {"name": "other", **body})
        assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert (await people.ask("GET", path, bob.bearer)).json == made


async def test_changed(people: People, bob: Person) -> None:
    """What is sent is changed, the rest stays; an empty change changes nothing."""
    made = await make(people, bob, description="d")
    path = f"{PATH}/{made['id']}"
    assert (await people.ask("PATCH", path, bob.bearer, {})).json == made
    reply = await people.ask("PATCH", path, bob.bearer, {"name": "new", "visibility": "public"})
    expected = {**made, "name": "new", "visibility": "public", "updatedAt": reply.json["updatedAt"]}
    assert (reply.status, reply.json) == (200, expected)
    assert reply.json["updatedAt"] > made["updatedAt"]
    assert (await people.ask("GET", path, bob.bearer)).json == expected
    assert (await people.ask("PATCH", path, bob.bearer, {"description": None})).json[
        "description"
    ] == ""


async def test_disabled(people: People, bob: Person) -> None:
    """A disabled project takes nothing more from the answer on; enabled again, it does."""
    made = await make(people, bob)
    path = f"{PATH}/{made['id']}"
    producer = await producer_of(people, bob, made["id"])
    assert (await producer.post()).status == 202
    changed = await people.ask("PATCH", path, bob.bearer, {"status": "disabled"})
    assert changed.json["status"] == "disabled"
    await until(lambda: people.running.gateway._keyring.cached(made["id"]) is None)
    reply = await producer.post()
    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    await people.ask("PATCH", path, bob.bearer, {"status": "active"})
    await until(lambda: people.running.gateway._keyring.cached(made["id"]) is None)
    assert (await producer.post()).status == 202


async def test_bounded(people: People, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user has a bounded number of projects."""
    monkeypatch.setattr(module, "PROJECTS_MAX", 2)
    await make(people, bob, "one")
    await make(people, bob, "two")
    reply = await people.ask("POST", PATH, bob.bearer, {"name": "three"})
    assert (reply.status, reply.json["code"]) == (409, "conflict")


async def test_operators(people: People) -> None:
    """The operator's token makes projects that nobody owns."""
    line = f"Authorization: Bearer {'t' * 40}\r\n"
    reply = await people.ask("POST", PATH, line, {"name": "ours"})
    project = await people.running.projects.get(reply.json["id"])
    assert project is not None
    assert project.owner_id is None


@pytest.mark.parametrize("name", ["", "ap", "APP", "app "])
async def test_deletion_asks_for_the_name(people: People, bob: Person, name: str) -> None:
    """Without the exact name a project is not deleted."""
    made = await make(people, bob)
    reply = await people.ask("DELETE", f"{PATH}/{made['id']}", bob.bearer, {"name": name})
    told = {"error": "`name` must be the project's name", "code": "conflict"}
    assert (reply.status, reply.json) == (409, told)
    assert (await people.ask("GET", f"{PATH}/{made['id']}", bob.bearer)).status == 200


async def fill(people: People, project: str, count: int) -> SqlEvents:
    """Store events of a project; returns the store."""
    events = SqlEvents(people.users._engine)
    await events.write(
        [Row(project, f"evt_{n}", "sess_1", "a", "{}", None, n) for n in range(count)]
    )
    return events


async def test_deleted(people: People, ada: Person, bob: Person) -> None:
    """A deleted project is gone and its signatures are a 401; its events are there for admins."""
    made = await make(people, bob)
    producer = await producer_of(people, bob, made["id"])
    assert (await producer.post()).status == 202
    events = await fill(people, made["id"], 3)
    reply = await people.ask("DELETE", f"{PATH}/{made['id']}", bob.bearer, {"name": "app"})
    assert (reply.status, reply.body) == (204, b"")
    assert (await people.ask("GET", f"{PATH}/{made['id']}", bob.bearer)).status == 404
    await until(lambda: people.running.gateway._keyring.cached(made["id"]) is None)
    assert (await producer.post()).status == 401
    assert len((await events.page(EventFilter(made["id"]), limit=9)).rows) == 3
    listed = f"/api/v2/events?projectId={made['id']}"
    assert len((await people.ask("GET", listed, ada.bearer)).json["events"]) == 3
    assert (await people.ask("GET", listed, bob.bearer)).status == 404
    await make(people, bob)


async def test_deleted_with_events(
    people: People, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its events a project is deleted beside the requests; meanwhile it takes none."""
    monkeypatch.setattr(deletions, "DRAIN_S", 1)
    made = await make(people, bob)
    path = f"{PATH}/{made['id']}"
    producer = await producer_of(people, bob, made["id"])
    assert (await producer.post()).status == 202  # in the queue, and nobody stores it
    events = await fill(people, made["id"], 2_500)
    body = {"name": "app", "deleteEvents": True}
    reply = await people.ask("DELETE", path, bob.bearer, body)
    assert (reply.status, reply.json) == (202, {"id": made["id"], "status": "deleting"})
    assert (await people.ask("GET", path, bob.bearer)).json["status"] == "deleting"
    assert (await producer.post()).status == 403
    for method, where, change in (
        ("PATCH", path, {"status": "active"}),
        ("POST", f"{path}/rotate", {}),
    ):
        assert (await people.ask(method, where, bob.bearer, change)).status == 409
    assert (await people.ask("DELETE", path, bob.bearer, {"name": "app"})).status == 202
    async with asyncio.timeout(20):
        while (await people.ask("GET", path, bob.bearer)).status != 404:
            await asyncio.sleep(0.1)
    assert (await events.page(EventFilter(made["id"]), limit=9)).rows == []
