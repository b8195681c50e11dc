"""Who asks; what is wrong with credentials is in test_guard.py, their end in test_auth.py."""

from random import Random

from tests.gateway.api.conftest import People, Person
from tests.gateway.conftest import Start
from tests.raw_http import exchange

ME = "/api/auth/me"


async def test_key(people: People, bob: Person) -> None:
    """A key is its user's."""
    me = {"id": "user_bob", "email": "bob@example.com", "role": "member"}
    assert (await people.ask("GET", ME, bob.bearer)).json == me


async def test_header_counts_alone(people: People, ada: Person, bob: Person) -> None:
    """Whoever sends a key is the key's user, whatever cookie comes along, and needs no Origin."""
    _, cookie = await people.sign_in("ada")
    line = bob.bearer + cookie.partition("\r\n")[0] + "\r\nOrigin: https://evil.example\r\n"
    assert (await people.ask("GET", ME, line)).json["id"] == "user_bob"
    assert (await people.ask("POST", "/api/keys", line, {"name": "x"})).status == 201


async def test_cookie_among_others(people: People, ada: Person) -> None:
    """The cookie is found among others."""
    _, cookie = await people.sign_in("ada")
    line = cookie.replace("Cookie: ", "Cookie: a=b; theme=dark; ")
    assert (await people.ask("GET", ME, line)).json["id"] == "user_ada"


async def test_deleted_user(people: People, ada: Person) -> None:
    """A cookie whose user's status is unknown to all is refused, not an error."""
    from gateway.api.account_cache import stamp_of
    from gateway.api.identity import COOKIE

    sign_ins = people.running.gateway.api.identity._sign_ins
    token = await sign_ins.open("user_gone", stamp_of("x"))
    assert (await people.ask("GET", ME, f"Cookie: {COOKIE}={token}\r\n")).status == 401


async def test_role_changes_count(people: People, ada: Person) -> None:
    """What a key may is looked up for each request, not kept in the key."""
    identity = people.running.gateway.api.identity
    caller = await identity.of_bearer(f"Bearer {ada.key}")
    assert (caller.is_admin, caller.key_id) == (True, (await people.keys.of_user("user_ada"))[0].id)
    await identity._accounts.announce(ada.user._replace(role="member"))
    assert not (await identity.of_bearer(f"Bearer {ada.key}")).is_admin


async def test_fuzzed_credentials(start: Start) -> None:
    """Whatever bytes are in a header of credentials, the answer is 401, or 400 where it is no
    HTTP; never a 5xx."""
    people = People(await start(CONTOX_API_REQUESTS_MINUTE="100000"))
    ada = await people.add("ada")
    _, cookie = await people.sign_in("ada")
    right = [ada.bearer.encode().strip(), cookie.partition("\r\n")[0].encode()]
    random = Random(1)
    for n in range(400):
        line = bytearray(right[n % 2])
        start_of_value = line.index(b": ") + 2
        for _ in range(random.randint(1, 4)):
            at = random.randrange(start_of_value, len(line))
            line[at] = random.choice([*range(1, 10), 11, 12, *range(14, 256)])
        head = b"GET /api/auth/me HTTP/1.1\r\nHost: x\r\n" + bytes(line) + b"\r\n\r\n"
        reply = await exchange(people.running.gateway.port, head)
        if bytes(line).strip() not in right:
            assert reply.status in (200, 400, 401), line
