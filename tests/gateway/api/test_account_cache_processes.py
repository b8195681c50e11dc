"""A key deleted while 64 connections use it over two processes: what starts later is refused."""

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
from tests.raw_http import exchange, read_reply

CONNECTIONS = 64
ROUNDS = 3


class Seen(NamedTuple):
    """One request: when it started, when it was answered, and with what."""

    started_s: float
    ended_s: float
    status: int


def request(method: str, key: str, body: bytes = b"") -> bytes:
    """A request with a key."""
    path = "/api/keys" if method == "DELETE" else "/api/auth/me"
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{typed}\r\n"
    return head.encode() + body


async def use(port: int, key: str, seen: list[Seen], stop: asyncio.Event) -> None:
    """Use a key on one connection, without a pause, until told to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    raw = request("GET", key)
    while not stop.is_set():
        started_s = time.monotonic()
        writer.write(raw)
        status = (await read_reply(reader)).status
        seen.append(Seen(started_s, time.monotonic(), status))
    writer.close()


async def more(seen: list[Seen]) -> None:
    """Wait for five more answers on each connection."""
    wanted = len(seen) + 5 * CONNECTIONS
    async with asyncio.timeout(WAIT_S):
        while len(seen) < wanted:
            await asyncio.sleep(0.02)


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
    for deleted_at in (ports * ROUNDS)[:ROUNDS]:
        text, key = new_key("user_1", "shared", 1)
        await keys.add(key)
        seen: list[Seen] = []
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for n in range(CONNECTIONS):
                group.create_task(use(ports[n % 2], text, seen, stop))
            await more(seen)
            body = json.dumps({"keyId": key.id}).encode()
            sent_s = time.monotonic()
            reply = await exchange(deleted_at, request("DELETE", text, body))
            answered_s = time.monotonic()
            assert reply.status == 204
            await more(seen)
            stop.set()
        after = [one.status for one in seen if one.started_s > answered_s]
        before = [one.status for one in seen if one.ended_s < sent_s]
        assert min(len(before), len(after)) > CONNECTIONS
        assert 401 in after
        assert set(after) <= {401, 503}  # 503: Redis was too slow to say
        assert 200 in before
        assert set(before) <= {200, 503}
    await engine.dispose()
