"""What one process is told counts in every one: projects disabled, sessions closed."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from tests.gateway.api.gateways import WAIT_S, gateways, is_up
from tests.raw_http import Producer, Reply, exchange

TOKEN = "t" * 40
WITHIN_S = 1.0


class Answer(NamedTuple):
    """One event that was sent: when, and what came back."""

    sent_s: float
    status: int
    session: str | None


@pytest.fixture
def ports(environ: dict[str, str], queue: Redis, tmp_path: Path) -> Iterator[list[int]]:
    """Two gateways, each a process of its own, on one queue and one store."""
    with gateways({**environ, "CONTOX_OPERATOR_TOKEN": TOKEN}, tmp_path) as ports:
        yield ports


async def ask(port: int, method: str, path: str, body: Any = None) -> Reply:
    """An operator's request."""
    raw = json.dumps(body).encode() if body is not None else b""
    typed = f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n" if raw else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{typed}\r\n"
    return await exchange(port, head.encode() + raw)


@pytest.fixture
async def producers(ports: list[int]) -> list[Producer]:
    """A producer of one project at each process."""
    async with asyncio.timeout(WAIT_S):
        while not all([await is_up(port) for port in ports]):
            await asyncio.sleep(0.05)
    project = (await ask(ports[0], "POST", "/api/projects", {"name": "app"})).json["id"]
    secret = (await ask(ports[1], "GET", f"/api/projects/{project}/hmac-secret")).json["hmacSecret"]
    return [Producer(port, project, secret) for port in ports]


async def send(producer: Producer, answers: list[Answer], stop: asyncio.Event) -> None:
    """Send events without a pause, until told to stop."""
    while not stop.is_set():
        sent_s = time.monotonic()
        reply = await producer.post()
        answers.append(Answer(sent_s, reply.status, reply.json.get("sessionId")))


async def during(producers: list[Producer], change: Any) -> tuple[list[Answer], float]:
    """Change something while both processes get events; (their answers, when it was answered)."""
    answers: list[Answer] = []
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for producer in producers * 4:
            group.create_task(send(producer, answers, stop))
        await asyncio.sleep(0.5)
        reply = await change()
        answered_s = time.monotonic()
        assert reply.status == 200
        await asyncio.sleep(WITHIN_S + 1)
        stop.set()
    return answers, answered_s


async def test_disabled(producers: list[Producer]) -> None:
    """What is sent after a project was disabled is refused, by both processes."""
    path = f"/api/projects/{producers[0].project}"
    answers, answered_s = await during(
        producers, lambda: ask(producers[0].port, "PATCH", path, {"status": "disabled"})
    )
    assert 202 in {answer.status for answer in answers}
    after = [answer.status for answer in answers if answer.sent_s > answered_s]
    assert len(after) > 20
    assert set(after) == {403}


async def test_session_closed(producers: list[Producer]) -> None:
    """What is sent a second after a session was closed, or later, joins one new session."""
    closed = (await producers[0].post()).json["sessionId"]
    path = f"/api/v2/sessions/{closed}"
    answers, answered_s = await during(
        producers, lambda: ask(producers[1].port, "PATCH", path, {"status": "closed"})
    )
    assert {answer.status for answer in answers} == {202}
    after = {answer.session for answer in answers if answer.sent_s > answered_s + WITHIN_S}
    assert len(after) == 1
    assert closed not in after
