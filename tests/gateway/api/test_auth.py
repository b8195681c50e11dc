"""Signing in and out over HTTP: the cookie and its end, tries, and that no account is told of."""

import asyncio
import re

import pytest
from redis.asyncio import Redis

from gateway.api.account_cache import AccountCache
from gateway.api.passwords import hash_of
from tests.gateway.api.conftest import OWN, PASSWORD, UNAUTHORIZED, People, Person
from tests.gateway.conftest import Start

ME = "/api/auth/me"
OUT = "/api/auth/sign-out"


async def test_sign_in(people: People, ada: Person) -> None:
    """A sign-in answers who one is, and sets a cookie that only this host's TLS pages send."""
    reply, cookie = await people.sign_in("ada")
    me = {"id": ada.user.id, "email": "ada@example.com", "role": "admin"}
    assert (reply.status, reply.json) == (200, me)
    name, *rest = reply.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"__Host-contox_session=[A-Za-z0-9_-]{43}", name)
    assert sorted(rest) == ["HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Lax", "Secure"]
    assert reply.headers["cache-control"] == "no-store"
    assert (await people.ask("GET", ME, cookie)).json == me


async def test_address_in_any_case(people: People, ada: Person) -> None:
    """The address is taken in any case, with blanks around it; a browser's page may be ours."""
    body = {"email": " ADA@example.com ", "password": PASSWORD}
    assert (await people.ask("POST", "/api/auth/sign-in", OWN, body)).status == 200


async def test_foreign_page_cannot_sign_in(people: People, ada: Person) -> None:
    """Another's page cannot sign somebody in, even with the right password."""
    foreign = "Origin: https://evil.example\r\n"
    reply, _ = await people.sign_in("ada", headers=foreign)
    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("ada", ""), ("ada", PASSWORD + "x"), ("eve", PASSWORD), ("off", PASSWORD)],
    ids=["wrong", "empty", "longer", "unknown", "disabled"],
)
async def test_refused(people: People, ada: Person, name: str, password: str) -> None:
    """Whatever is wrong, it is the one 401, without a cookie."""
    await people.add("off", status="disabled")
    reply, _ = await people.sign_in(name, password)
    assert (reply.status, reply.json) == (401, UNAUTHORIZED)
    assert "set-cookie" not in reply.headers


async def test_rotated(people: People, ada: Person) -> None:
    """Each sign-in has a cookie of its own, and ends the one that the browser had."""
    _, first = await people.sign_in("ada")
    _, second = await people.sign_in("ada", headers=first)
    assert first != second
    assert (await people.ask("GET", ME, first)).status == 401
    assert (await people.ask("GET", ME, second)).status == 200


async def test_sign_out(people: People, ada: Person) -> None:
    """A sign-out ends this sign-in alone, and clears the cookie."""
    _, one = await people.sign_in("ada")
    _, two = await people.sign_in("ada")
    reply = await people.ask("POST", OUT, one)
    assert (reply.status, reply.body) == (204, b"")
    assert 'contox_session=""; HttpOnly; Max-Age=0; Path=/' in reply.headers["set-cookie"]
    assert (await people.ask("GET", ME, one)).json == UNAUTHORIZED
    assert (await people.ask("GET", ME, two)).status == 200


async def test_sign_out_everywhere(people: People, ada: Person, bob: Person) -> None:
    """A sign-out everywhere ends all of the user's sign-ins, no other's and no later one."""
    cookies = [(await people.sign_in("ada"))[1] for _ in range(3)]
    _, of_bob = await people.sign_in("bob")
    assert (await people.ask("POST", OUT, cookies[0], {"everywhere": True})).status == 204
    for cookie in cookies:
        assert (await people.ask("GET", ME, cookie)).status == 401
    assert (await people.ask("GET", ME, of_bob)).status == 200
    _, later = await people.sign_in("ada")
    assert (await people.ask("GET", ME, later)).status == 200


async def test_expiry(start: Start, queue: Redis) -> None:
    """A sign-in ends when it was idle too long, and at its last day however it is used."""
    people = People(await start(CONTOX_SIGN_IN_IDLE_S="60", CONTOX_SIGN_IN_S_MAX="100"))
    await people.add("ada")
    _, cookie = await people.sign_in("ada")
    (name,) = await queue.keys("contox:sign-in:*")
    await queue.expire(name, 10)
    assert (await people.ask("GET", ME, cookie)).status == 200
    assert await queue.ttl(name) > 50  # it is not idle
    sign_ins = people.running.gateway.api.identity._sign_ins
    clock = sign_ins._clock
    sign_ins._clock = lambda: clock() + 101
    assert (await people.ask("GET", ME, cookie)).status == 401
    sign_ins._clock = clock
    await queue.expire(name, 0)
    assert (await people.ask("GET", ME, cookie)).status == 401


async def test_password_changed(people: People, ada: Person, queue: Redis) -> None:
    """A new password ends the sign-ins that were made with the old one, at once."""
    _, cookie = await people.sign_in("ada")
    assert (await people.ask("GET", ME, cookie)).status == 200
    await people.users.set_password(ada.user.id, hash_of("another password"), now_ms=5)
    changed = await people.users.find(ada.user.id)
    assert changed is not None
    await AccountCache(queue, people.users, people.keys).announce(changed)
    assert (await people.ask("GET", ME, cookie)).status == 401


async def test_disabled(people: People, ada: Person, queue: Redis) -> None:
    """A user who is disabled gets nothing from that moment on, by cookie or key."""
    _, cookie = await people.sign_in("ada")
    for line in (cookie, ada.bearer):
        assert (await people.ask("GET", ME, line)).status == 200
    await people.users.set_status(ada.user.id, "disabled", now_ms=5)
    changed = await people.users.find(ada.user.id)
    assert changed is not None
    await AccountCache(queue, people.users, people.keys).announce(changed)
    for line in (cookie, ada.bearer):
        assert (await people.ask("GET", ME, line)).json == UNAUTHORIZED


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_tries_of_an_account(start: Start, name: str) -> None:
    """Tries are bounded per account, whether it exists or not, and told in the same words; also
    those that come at once."""
    people = People(await start(CONTOX_SIGN_IN_ACCOUNT_TRIES="3"))
    await people.add("ada")
    replies = await asyncio.gather(*(people.sign_in(name, "wrong") for _ in range(6)))
    assert sorted(reply.status for reply, _ in replies) == [401] * 3 + [429] * 3
    reply, _ = await people.sign_in(name)
    wait_s = int(reply.headers["retry-after"])
    assert (reply.status, 0 < wait_s <= 900) == (429, True)
    told = f"Too many tries to sign in. Please retry after {wait_s} seconds."
    assert reply.json == {"error": told, "code": "rate_limited"}


async def test_tries_of_an_address(start: Start) -> None:
    """Tries are bounded per address over all accounts; a success in between changes nothing."""
    people = People(await start(CONTOX_SIGN_IN_ADDRESS_TRIES="3"))
    await people.add("ada")
    statuses = [
        (await people.sign_in(name, password))[0].status
        for name, password in (("a", "x"), ("ada", PASSWORD), ("b", "x"), ("c", "x"))
    ]
    assert statuses == [401, 200, 401, 429]


async def test_success_forgets_the_accounts_tries(start: Start) -> None:
    """Who has signed in has all tries again."""
    people = People(await start(CONTOX_SIGN_IN_ACCOUNT_TRIES="2"))
    await people.add("ada")
    for password, status in (("x", 401), (PASSWORD, 200), ("x", 401), (PASSWORD, 200)):
        assert (await people.sign_in("ada", password))[0].status == status


async def test_me_of_the_operator(people: People) -> None:
    """The operator's token is an admin, and no user: it has nothing to sign out of."""
    token = f"Authorization: Bearer {'t' * 40}\r\n"
    assert (await people.ask("GET", ME, token)).json == {"id": None, "email": None, "role": "admin"}
    assert (await people.ask("POST", OUT, token)).json["code"] == "forbidden"
