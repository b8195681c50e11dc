"""API keys over HTTP: their shapes, whose they are, and that a deletion counts at once."""

import asyncio
import re
from typing import Any

import pytest
from redis.asyncio import Redis

from core.api_keys import digest_of
from gateway.api import keys
from gateway.api.keys import KEYS_MAX, new_key
from tests.conftest import QueueServer
from tests.gateway.api.conftest import UNAUTHORIZED, People, Person
from tests.gateway.conftest import Start

PATH = "/api/keys"
ME = "/api/auth/me"


async def create(people: People, person: Person, name: str = "laptop") -> dict[str, Any]:
    """Make a key; returns the answer."""
    reply = await people.ask("POST", PATH, person.bearer, {"name": name})
    assert reply.status == 201
    content: dict[str, Any] = reply.json
    return content


async def test_list(people: People, ada: Person) -> None:
    """The list has each key's beginning and times, never the key."""
    reply = await people.ask("GET", PATH, ada.bearer)
    (key,) = reply.json
    assert sorted(key) == ["createdAt", "id", "lastUsed", "name", "prefix"]
    assert (key["name"], key["createdAt"]) == ("first", "2025-01-20T14:00:00Z")
    assert key["prefix"] == ada.key[:14] + "..."
    assert re.fullmatch(r"key_[0-9A-Z]{26}", key["id"])
    assert ada.key.encode() not in reply.body


async def test_create(people: People, ada: Person) -> None:
    """A new key is shown once, and works; only its digest is stored."""
    made = await create(people, ada)
    assert sorted(made) == ["createdAt", "id", "key", "name"]
    assert re.fullmatch(r"contox_sk_[0-9A-Za-z]{43}", made["key"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["createdAt"])
    reply = await people.ask("GET", PATH, f"Authorization: Bearer {made['key']}\r\n")
    assert [key["id"] for key in reply.json][1:] == [made["id"]]
    stored = (await people.keys.of_user(ada.user.id))[1]
    assert stored.sha256 == digest_of(made["key"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_scheme(people: People, ada: Person, scheme: str) -> None:
    """The scheme's case does not matter."""
    line = f"Authorization: {scheme}   {ada.key} \r\n"
    assert (await people.ask("GET", ME, line)).status == 200


async def test_delete(people: People, ada: Person) -> None:
    """A deletion is a 204 without a body; the key is refused, and there is nothing to delete."""
    made = await create(people, ada)
    line = f"Authorization: Bearer {made['key']}\r\n"
    assert (await people.ask("GET", ME, line)).status == 200
    reply = await people.ask("DELETE", PATH, line, {"keyId": made["id"]})
    assert (reply.status, reply.body) == (204, b"")
    for _ in range(3):
        assert (await people.ask("GET", ME, line)).json == UNAUTHORIZED
    again = await people.ask("DELETE", PATH, ada.bearer, {"keyId": made["id"]})
    assert (again.status, again.json["code"]) == (404, "not_found")


async def test_anothers_key(people: People, ada: Person, bob: Person) -> None:
    """Keys are their user's alone: an admin too sees and deletes only their own."""
    (of_bob,) = await people.keys.of_user(bob.user.id)
    listed = (await people.ask("GET", PATH, ada.bearer)).json
    assert of_bob.id not in [key["id"] for key in listed]
    reply = await people.ask("DELETE", PATH, ada.bearer, {"keyId": of_bob.id})
    assert (reply.status, reply.json["error"]) == (404, "There is no such key")
    assert (await people.ask("GET", ME, bob.bearer)).status == 200


async def test_name(people: People, ada: Person) -> None:
    """A name that cannot be shown is a 400 that says so."""
    told = "`name` must be 1 to 100 printable characters"
    for name in ("", "  ", "x" * 101, "a\nb", "a\x00b", "\u200b"):
        reply = await people.ask("POST", PATH, ada.bearer, {"name": name})
        assert (reply.status, reply.json) == (400, {"error": told, "code": "bad_request"})


async def test_too_many(people: People, ada: Person) -> None:
    """A user has at most a hundred keys."""
    for n in range(KEYS_MAX - 1):
        await people.keys.add(new_key(ada.user.id, str(n), n)[1])
    reply = await people.ask("POST", PATH, ada.bearer, {"name": "one more"})
    assert (reply.status, reply.json["code"]) == (409, "conflict")


async def test_operator_has_no_keys(people: People) -> None:
    """The operator's token is no user's, and has no keys."""
    token = f"Authorization: Bearer {'t' * 40}\r\n"
    reply = await people.ask("GET", PATH, token)
    assert (reply.status, reply.json["code"]) == (403, "forbidden")


async def test_late_load_does_not_bring_a_key_back(
    people: People, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that read the store before the deletion, and caches after it, undoes nothing."""
    accounts = people.running.gateway.api.identity._accounts
    by_digest, read, go_on = people.keys.by_digest, asyncio.Event(), asyncio.Event()

    async def slow(sha256: bytes) -> Any:
        found = await by_digest(sha256)
        read.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(accounts._keys, "by_digest", slow)
    early = asyncio.create_task(people.ask("GET", ME, ada.bearer))
    await read.wait()
    (key,) = await people.keys.of_user(ada.user.id)
    _, cookie = await people.sign_in("ada")
    assert (await people.ask("DELETE", PATH, cookie, {"keyId": key.id})).status == 204
    go_on.set()
    assert (await early).status == 401
    assert (await people.ask("GET", ME, ada.bearer)).status == 401


async def test_store_fails_at_the_deletion(
    people: People, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion whose outcome is not known is no 204; the key is refused meanwhile."""
    from core.errors import Unavailable

    async def fail(_key_id: str) -> None:
        raise Unavailable

    handlers = people.running.gateway.api._resources[1]
    assert isinstance(handlers, keys.Keys)
    monkeypatch.setattr(handlers._keys, "delete", fail)
    (key,) = await people.keys.of_user(ada.user.id)
    _, cookie = await people.sign_in("ada")
    reply = await people.ask("DELETE", PATH, cookie, {"keyId": key.id})
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert (await people.ask("GET", ME, ada.bearer)).status == 401


async def test_queue_away(start: Start, own_queue_server: QueueServer) -> None:
    """While Redis is away nobody is let in and no key is deleted: 503, and it can be sent again."""
    running = await start(CONTOX_REDIS_URL=own_queue_server.url, CONTOX_ACK="memory")
    people = People(running)
    ada = await people.add("ada")
    (key,) = await people.keys.of_user(ada.user.id)
    own_queue_server.stop()
    for method, body in (("GET", None), ("DELETE", {"keyId": key.id})):
        reply = await people.ask(method, PATH, ada.bearer, body)
        assert (reply.status, reply.json["code"]) == (503, "queue_unavailable")
        assert reply.headers["retry-after"] == "1"
    assert await people.keys.of_user(ada.user.id) == [key]
    own_queue_server.start()
    assert (await people.ask("GET", PATH, ada.bearer)).status == 200


async def test_deleted_with_an_emptied_redis(people: People, ada: Person, queue: Redis) -> None:
    """A Redis that has forgotten everything lets in who the store knows, and nobody else."""
    made = await create(people, ada)
    line = f"Authorization: Bearer {made['key']}\r\n"
    await people.ask("DELETE", PATH, line, {"keyId": made["id"]})
    await queue.flushall()
    assert (await people.ask("GET", ME, line)).status == 401
    assert (await people.ask("GET", ME, ada.bearer)).status == 200
