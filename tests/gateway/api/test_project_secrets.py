"""A project's secret over HTTP: read, rotated, and when the old one was last used."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from core.event import Row
from core.ports import Project, SealedSecret
from store.events import SqlEvents
from tests.gateway.api.conftest import People, Person
from tests.gateway.api.test_projects import PATH, make, producer_of
from tests.raw_http import Producer

MEMBERS = ["hmacSecret", "previousExpiresAt", "previousLastUsed"]


async def rotate(people: People, person: Person, project: str, body: Any = None) -> dict[str, Any]:
    """Rotate; what the API tells."""
    reply = await people.ask("POST", f"{PATH}/{project}/rotate", person.bearer, body)
    assert reply.status == 200
    content: dict[str, Any] = reply.json
    return content


def seconds_left(text: str) -> float:
    """From now until a time."""
    at = datetime.fromisoformat(text)
    return (at - datetime.now(at.tzinfo)).total_seconds()


@pytest.mark.parametrize(
    ("body", "grace_s"),
    [(None, 86_400), ({}, 86_400), ({"graceSeconds": 60}, 60), ({"graceSeconds": 0}, 0)],
)
async def test_rotate(people: People, bob: Person, body: Any, grace_s: int) -> None:
    """Both secrets verify until the grace has passed, then the new one alone."""
    made = await make(people, bob)
    old = await producer_of(people, bob, made["id"])
    assert (await old.post()).status == 202
    content = await rotate(people, bob, made["id"], body)
    assert list(content) == MEMBERS
    assert grace_s - 10 < seconds_left(content["previousExpiresAt"]) <= grace_s
    new = Producer(old.port, made["id"], content["hmacSecret"])
    assert (await new.post()).status == 202
    assert (await old.post()).status == (202 if grace_s else 401)
    shown = (await people.ask("GET", f"{PATH}/{made['id']}/hmac-secret", bob.bearer)).json
    assert list(shown) == (MEMBERS if grace_s else MEMBERS[:1])
    assert shown["hmacSecret"] == content["hmacSecret"]


async def test_two_at_most(people: People, bob: Person) -> None:
    """However often and with whatever grace a secret is rotated, the last two verify, no more."""
    made = await make(people, bob)
    producers = [await producer_of(people, bob, made["id"])]
    for _ in range(4):
        content = await rotate(people, bob, made["id"], {"graceSeconds": 365 * 86_400})
        producers.append(Producer(producers[0].port, made["id"], content["hmacSecret"]))
        statuses = [(await producer.post()).status for producer in producers]
        assert statuses == [401] * (len(producers) - 2) + [202] * 2


async def test_stolen(people: People, bob: Person) -> None:
    """A secret in its grace ends at once with a rotation without one, and so does the current
    one."""
    made = await make(people, bob)
    first = await producer_of(people, bob, made["id"])
    content = await rotate(people, bob, made["id"])
    second = Producer(first.port, made["id"], content["hmacSecret"])
    assert (await first.post()).status == 202
    content = await rotate(people, bob, made["id"], {"graceSeconds": 0})
    third = Producer(first.port, made["id"], content["hmacSecret"])
    assert [(await one.post()).status for one in (first, second, third)] == [401, 401, 202]


@pytest.mark.parametrize("grace", [-1, 365 * 86_400 + 1, 1.5, "60", True, [1]])
async def test_bad_grace(people: People, bob: Person, grace: Any) -> None:
    """A grace that is none is a 400, and the secret stays."""
    made = await make(people, bob)
    old = await producer_of(people, bob, made["id"])
    path = f"{PATH}/{made['id']}/rotate"
    reply = await people.ask("POST", path, bob.bearer, {"graceSeconds": grace})
    assert (reply.status, reply.json["code"]) == (400, "bad_request")
    assert (await producer_of(people, bob, made["id"])).secret == old.secret


async def test_last_used_so_far(people: People, bob: Person) -> None:
    """At a rotation the only secret was last used for the newest event that is stored."""
    made = await make(people, bob)
    row = Row(made["id"], "evt_1", "sess_1", "a", "{}", None, 1_737_381_600_123)
    await SqlEvents(people.users._engine).write([row])
    content = await rotate(people, bob, made["id"])
    assert content["previousLastUsed"] == "2025-01-20T14:00:00.123Z"


async def test_last_used_while_it_expires(people: People, bob: Person) -> None:
    """While both verify, a use of the old one is told soon after, and one of the new one is not."""
    made = await make(people, bob)
    path = f"{PATH}/{made['id']}/hmac-secret"
    old = await producer_of(people, bob, made["id"])
    content = await rotate(people, bob, made["id"])
    assert content["previousLastUsed"] is None
    new = Producer(old.port, made["id"], content["hmacSecret"])
    for _ in range(5):
        assert (await new.post()).status == 202
    await asyncio.sleep(0.3)
    assert (await people.ask("GET", path, bob.bearer)).json["previousLastUsed"] is None
    assert (await old.post()).status == 202
    async with asyncio.timeout(10):
        while not (told := (await people.ask("GET", path, bob.bearer)).json["previousLastUsed"]):
            await asyncio.sleep(0.05)
    assert -10 < seconds_left(told) <= 0


async def test_other_master_key(people: People, ada: Person) -> None:
    """A secret that does not open is the operator's fault: 503, and nothing is told."""
    sealed = SealedSecret(b"1" + bytes(60), None)
    await people.running.projects.create(Project("proj_2", "two", "active", 1, 1), sealed)
    reply = await people.ask("GET", f"{PATH}/proj_2/hmac-secret", ada.bearer)
    assert (reply.status, reply.json["code"]) == (503, "queue_unavailable")
