"""A gateway in this process with users and keys, and requests to its API."""

import json
import os
from typing import Any, NamedTuple

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.users import User
from gateway.api.keys import new_key
from gateway.api.passwords import hash_of
from store.users import SqlApiKeys, SqlUsers
from tests.gateway.conftest import Running, Start
from tests.raw_http import Reply, exchange

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = hash_of(PASSWORD)
UNAUTHORIZED = {
    "error": "Invalid or missing authentication credentials",
    "code": "unauthorized",
}
OWN = "Origin: http://gateway.test\r\n"


class Person(NamedTuple):
    """A user, and a key of theirs."""

    user: User
    key: str

    @property
    def bearer(self) -> str:
        """The header's line."""
        return f"Authorization: Bearer {self.key}\r\n"


class People:
    """The users of a gateway, its keys, and what they ask."""

    def __init__(self, running: Running) -> None:
        engine: AsyncEngine = running.gateway._outside.users._engine
        self.users, self.keys = SqlUsers(engine), SqlApiKeys(engine)
        self.running = running

    async def add(self, name: str, role: str = "member", status: str = "active") -> Person:
        """A user whose password is PASSWORD, with a key."""
        user = User(f"user_{name}", f"{name}@example.com", PASSWORD_HASH, role, status, 1, 1)
        await self.users.create(user)
        text, key = new_key(user.id, "first", 1_737_381_600_123)
        await self.keys.add(key)
        return Person(user, text)

    async def ask(
        self, method: str, path: str, headers: str = "", body: Any = None, port: int = 0
    ) -> Reply:
        """One request. body: bytes as they are, anything else as JSON; None sends none."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            headers += f"Content-Length: {len(raw)}\r\n"
            if "Content-Type:" not in headers:
                headers += "Content-Type: application/json\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n".encode()
        port = port or self.running.gateway.port
        return await exchange(port, head + (raw if body is not None else b""))

    async def sign_in(
        self, name: str, password: str = PASSWORD, headers: str = ""
    ) -> tuple[Reply, str]:
        """(the answer, the line that sends its cookie, with an Origin of ours)."""
        body = {"email": f"{name}@example.com", "password": password}
        reply = await self.ask("POST", "/api/auth/sign-in", headers, body)
        cookie = reply.headers.get("set-cookie", "").partition(";")[0]
        return reply, f"Cookie: {cookie}\r\n" + OWN


@pytest.fixture
async def people(start: Start) -> People:
    """A gateway without users, with an operator's token."""
    return People(await start(CONTOX_OPERATOR_TOKEN="t" * 40))


@pytest.fixture
async def ada(people: People) -> Person:
    """An admin."""
    return await people.add("ada", "admin")


@pytest.fixture
async def bob(people: People) -> Person:
    """A member."""
    return await people.add("bob")


def random_text() -> str:
    """Text that nobody has seen before."""
    return os.urandom(8).hex()
