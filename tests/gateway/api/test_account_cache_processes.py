"""A key deleted while 64 connections use it over two processes, half of them for the API and half
for events: what starts later is refused."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from core.users import User
from gateway.api.keys import new_key
from store.engine import open_engine
from store.migrate import migrate
from store.users import SqlApiKeys, SqlUsers
from tests.gateway.api.gateways import WAIT_S, gateways, is_up
from tests.gateway.clients import SAVE, Client, as_javascript
from tests.raw_http import exchange, read_reply

CONNECTIONS = 64
ROUNDS = 3


class Seen(NamedTuple):
    """One request: when it started, when it was answered, and with what."""

    started_s: float
    ended_s: float
    status: int


def request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    """A request with a key."""
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{typed}\r\n"
    return head.encode() + body


async def use(port: int, raw: bytes, seen: list[Seen], stop: asyncio.Event) -> None:
    """Send a request on one connection, without a pause, until told to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not stop.is_set():
        started_s = time.monotonic()
        writer.write(raw)
        status = (await read_reply(reader)).status
        seen.append(Seen(started_s, time.monotonic(), status))
    writer.close()


async def more(*kinds: list[Seen]) -> None:
    """Wait for five more answers of each kind on each of its connections."""
    wanted = [len(seen) + 5 * CONNECTIONS // len(kinds) for seen in kinds]
    async with asyncio.timeout(WAIT_S):
        while any(len(seen) < count for seen, count in zip(kinds, wanted, strict=True)):
            await asyncio.sleep(0.02)


async def made_project(port: int, key: str) -> tuple[str, str]:
    """(id, secret) of a new project."""
    body = b'{"name": "app"}'
    made = (await exchange(port, request("POST", "/api/projects", key, body))).json["id"]
    path = f"/api/projects/{made}/hmac-secret"
    return made, (await exchange(port, request("GET", path, key))).json["hmacSecret"]


def envelope(key: str, project: str, secret: str) -> bytes:
    """An event as the published command line sends it; sent again it is the same event."""
    body = as_javascript(Client(0, key, project, secret).cli(SAVE)).encode()
    return request("POST", "/api/v2/ingest", key, body)


@pytest.fixture
def ports(environ: dict[str, str], queue: Redis, tmp_path: Path) -> Iterator[list[int]]:
    """Two gateways, each a process of its own, on one queue and one store."""
    with gateways(environ, tmp_path) as ports:
        yield ports


async def test_deleted_under_load(ports: list[int], environ: dict[str, str]) -> None:
    """No request that starts after the 204 is accepted, by neither process; those before are."""
    engine = open_engine(environ["CONTOX_DATABASE_URL"])
    await migrate(engine)
    keys = SqlApiKeys(engine)
    user = User("user_1", "ada@example.com", "$", "member", "active", 1, 1)
    await SqlUsers(engine).create(user)
    async with asyncio.timeout(WAIT_S):
        while not all([await is_up(port) for port in ports]):
            await asyncio.sleep(0.05)
    own, kept = new_key("user_1", "own", 1)
    await keys.add(kept)
    project = await made_project(ports[0], own)
    for deleted_at in (ports * ROUNDS)[:ROUNDS]:
        text, key = new_key("user_1", "shared", 1)
        await keys.add(key)
        asked: list[Seen] = []
        sent: list[Seen] = []
        uses = [
            (request("GET", "/api/auth/me", text), asked),
            (envelope(text, *project), sent),
        ]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for n in range(CONNECTIONS):
                group.create_task(use(ports[n % 2], *uses[n // 2 % 2], stop))
            await more(asked, sent)
            body = json.dumps({"keyId": key.id}).encode()
            sent_s = time.monotonic()
            reply = await exchange(deleted_at, request("DELETE", "/api/keys", text, body))
            answered_s = time.monotonic()
            assert reply.status == 204
            await more(asked, sent)
            stop.set()
        for seen, taken in ((asked, 200), (sent, 202)):
            after = [one.status for one in seen if one.started_s > answered_s]
            before = [one.status for one in seen if one.ended_s < sent_s]
            assert min(len(before), len(after)) > CONNECTIONS
            assert 401 in after
            assert set(after) <= {401, 503}  # 503: Redis was too slow to say
            assert taken in before
            assert set(before) <= {taken, 503}
    await engine.dispose()
