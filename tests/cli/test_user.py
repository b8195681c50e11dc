"""`user` as an operator types it, beside a gateway that serves."""

import re

import pytest
from redis.asyncio import Redis

from cli.user_accounts import open_users
from gateway.api.keys import new_key
from gateway.api.passwords import hash_of
from tests.cli.conftest import Command, Store, Target
from tests.raw_http import Reply, exchange

PASSWORD = "correct horse battery staple"
CREATED = ["createdAt", "email", "password", "role", "status", "userId"]


class Gateway:
    """Asks the gateway who one is."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def me(self, line: str) -> Reply:
        """Who one is with this header."""
        raw = f"GET /api/auth/me HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode()
        return await exchange(self._port, raw)

    async def cookie(self, email: str, password: str) -> str:
        """The header of a sign-in; empty if it is refused."""
        body = f'{{"email":"{email}","password":"{password}"}}'.encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        line = "POST /api/auth/sign-in HTTP/1.1\r\nHost: x\r\n"
        reply = await exchange(self._port, (line + head).encode() + body)
        return f"Cookie: {reply.headers.get('set-cookie', '').partition(';')[0]}"


@pytest.fixture
def gateway(target: Target) -> Gateway:
    """A gateway on the store of the commands."""
    return Gateway(int(target.url.rpartition(":")[2]))


async def key_of(store: Store, user: str) -> str:
    """The header of a new key of the user."""
    async with open_users(store.environ) as accounts:
        text, key = new_key((await accounts.find(user)).id, "one", 1)
        await accounts.keys.add(key)
    return f"Authorization: Bearer {text}"


async def test_create(command: Command, store: Store, gateway: Gateway) -> None:
    """A user is made with a password that is shown once, opens the gateway, and is a member's."""
    made = await command("user", "create", "Ada@example.com", "--json", **store.environ)
    assert (made.status, sorted(made.json)) == (0, CREATED)
    assert re.fullmatch(r"user_[0-9A-Z]{26}", made.json["userId"])
    assert (made.json["email"], made.json["role"]) == ("ada@example.com", "member")
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", made.json["password"])
    cookie = await gateway.cookie("ada@example.com", made.json["password"])
    assert (await gateway.me(cookie)).json["id"] == made.json["userId"]
    listed = await command("user", "list", "--json", **store.environ)
    assert listed.json == [{k: v for k, v in made.json.items() if k != "password"}]


async def test_shown_to_people(command: Command, store: Store) -> None:
    """A person reads the password in a line of its own; the list is a table without it."""
    made = await command("user", "create", "ada@example.com", "--role", "admin", **store.environ)
    assert (made.status, made.err) == (0, "")
    (password,) = re.findall(r"^password  (\S{24})$", made.out, re.M)
    assert "The password is shown this once." in made.out
    listed = await command("user", "list", **store.environ)
    assert listed.out.splitlines()[1].split()[1:4] == ["ada@example.com", "admin", "active"]
    assert password not in listed.out


async def test_nobody(command: Command, store: Store) -> None:
    """Where there is no user, the list says how to make one."""
    listed = await command("user", "list", **store.environ)
    assert "make one with: contox-ingest user create EMAIL" in listed.out


async def test_password_of_ones_own(command: Command, store: Store, gateway: Gateway) -> None:
    """A password that is read from standard input is taken, and not shown."""
    stdin = PASSWORD.encode() + b"\n"
    made = await command(
        "user", "create", "ada@example.com", "--password-stdin", stdin=stdin, **store.environ
    )
    assert (made.status, PASSWORD in made.out + made.err) == (0, False)
    assert (await gateway.me(await gateway.cookie("ada@example.com", PASSWORD))).status == 200


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("create", "ada"), b"", "'ada' cannot be used: an email address is name@host"),
        (("create", "a@b"), b"", "There is a user 'a@b' already."),
        (("create", "A@B"), b"", "There is a user 'a@b' already."),
        (
            ("create", "b@b", "--password-stdin"),
            b"eleven char\n",
            "The password must be 12 to 256 printable characters.",
        ),
        (("disable", "c@b"), b"", "There is no user 'c@b'; list them with: contox-ingest user"),
        (("set-password", "\x00"), b"", "There is no user '\\x00'; list them"),
        (("enable", "user_1"), b"", "There is no user 'user_1'; list them"),
    ],
)
async def test_refused(
    command: Command, store: Store, arguments: tuple[str, ...], stdin: bytes, told: str
) -> None:
    """What cannot be done is one sentence and status 1."""
    await command("user", "create", "a@b", **store.environ)
    result = await command("user", *arguments, stdin=stdin, **store.environ)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"contox-ingest: {told}")


async def test_disable(command: Command, store: Store, gateway: Gateway) -> None:
    """A disabled user's cookie, key and password are refused at once; enabled, they work again."""
    made = await command("user", "create", "ada@example.com", "--json", **store.environ)
    key = await key_of(store, "ada@example.com")
    cookie = await gateway.cookie("ada@example.com", made.json["password"])
    for line in (key, cookie):
        assert (await gateway.me(line)).status == 200
    disabled = await command("user", "disable", "ADA@example.com", "--json", **store.environ)
    assert (disabled.json["status"], disabled.err) == ("disabled", "")
    for line in (key, cookie):
        assert (await gateway.me(line)).status == 401
    refused = await gateway.cookie("ada@example.com", made.json["password"])
    assert (await gateway.me(refused)).status == 401
    await command("user", "enable", made.json["userId"], **store.environ)
    for line in (key, cookie):
        assert (await gateway.me(line)).status == 200


async def test_set_password(command: Command, store: Store, gateway: Gateway) -> None:
    """A new password ends what the old one opened: its sign-ins and the user's keys, at once."""
    made = await command("user", "create", "ada@example.com", "--json", **store.environ)
    key = await key_of(store, "ada@example.com")
    cookie = await gateway.cookie("ada@example.com", made.json["password"])
    assert (await gateway.me(key)).status == 200
    assert (await gateway.me(cookie)).status == 200
    changed = await command("user", "set-password", "ada@example.com", "--json", **store.environ)
    for line in (key, cookie):
        assert (await gateway.me(line)).status == 401
    old = await gateway.cookie("ada@example.com", made.json["password"])
    new = await gateway.cookie("ada@example.com", changed.json["password"])
    assert [(await gateway.me(line)).status for line in (old, new)] == [401, 200]
    kept = await key_of(store, "ada@example.com")
    where = ("user", "set-password", "ada@example.com", "--keep-keys")
    await command(*where, **store.environ)
    assert [(await gateway.me(line)).status for line in (kept, new)] == [200, 401]


async def test_queue_away(command: Command, store: Store, queue: Redis) -> None:
    """While the queue is away the store is changed all the same, and the delay is told."""
    environ = {**store.environ, "CONTOX_REDIS_URL": "redis://127.0.0.1:1/0"}
    await command("user", "create", "ada@example.com", **environ)
    await key_of(store, "ada@example.com")
    for arguments in (("disable",), ("set-password",)):
        result = await command("user", *arguments, "ada@example.com", **environ)
        assert result.status == 0
        assert "gateways learn of it in 60 s" in result.err
    async with open_users(store.environ) as accounts:
        user = await accounts.find("ada@example.com")
        assert user.status == "disabled"
        assert await accounts.keys.of_user(user.id) == []


def test_hash_is_not_the_password() -> None:
    """What is stored is argon2id's text, different each time."""
    one, two = hash_of(PASSWORD), hash_of(PASSWORD)
    assert one != two
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
