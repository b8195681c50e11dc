"""A stub server whose answers a test writes, a sender in this process, and a real gateway.

The stub speaks HTTP by hand, so that it can answer late, in pieces, wrongly or not at all.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from core.ports import Project, SealedSecret
from core.settings import Settings, read
from gateway.main import Gateway, serving
from loadtest.arrivals import arrivals
from loadtest.client import Sender, Source
from loadtest.measure import Counts, Snapshot, Tally
from loadtest.plan import Plan
from loadtest.requests import Requests
from loadtest.run import Outcome
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate
from store.sealing import Sealer

RUN = "a1b2c3d4"
SECRET = "whsec_test"
ACCEPTED = b'{"eventId":"e","sessionId":"s","status":"accepted"}'
START_S = 0.05  # for the sender to connect
BODY_BYTES_MAX = 16 << 20  # the stub answers a body that is announced longer without having it
# What the stub does with a request: it answers, in one piece or several; None cuts the connection.
Answered = bytes | None | list[bytes | None]
Answer = Callable[[bytes], Awaitable[Answered]]


def plan_for(port: int = 1, **changed: object) -> Plan:
    """A short run against a local port; a test names what matters to it."""
    plain: dict[str, object] = {
        "url": f"http://127.0.0.1:{port}",
        "project": "proj_1",
        "secret": SECRET,
        "run": RUN,
        "rate_s": 100.0,
        "duration_s": 0.1,
        "connections": 4,
    }
    return Plan(**{**plain, **changed})  # type: ignore[arg-type]


def reply(status: int = 202, body: bytes = ACCEPTED, *headers: bytes) -> bytes:
    """The bytes of a response."""
    lines = [b"HTTP/1.1 %d Word" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def refusal(status: int, code: str) -> bytes:
    """The bytes of a refusal in the contract's words."""
    return reply(status, b'{"error":"a sentence","code":"%s"}' % code.encode())


class Stub:
    """A server on a free port. `requests` are the bytes that it was sent, `opened` connections."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.opened = 0
        self.port = 0
        self.open: set[_Peer] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen, on a free port unless one is named."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Peer(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and all connections."""
        assert self._server is not None
        self._server.close()
        for peer in list(self.open):
            peer.end()
        await asyncio.sleep(0)


class _Peer(asyncio.Protocol):
    """A connection of the stub's."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._data = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stub.opened += 1
        self._stub.open.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._data += data
        while b"\r\n\r\n" in self._data:
            start = self._data.index(b"\r\n\r\n") + 4
            found = re.search(rb"\ncontent-length: (\d+)\r", self._data[:start].lower())
            size = start + (int(found[1]) if found else 0)
            if size > BODY_BYTES_MAX:
                size = len(self._data)
            if len(self._data) < size:
                return
            request, self._data = self._data[:size], self._data[size:]
            self._stub.requests.append(request)
            task = asyncio.create_task(self._respond(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _respond(self, request: bytes) -> None:
        answered = await self._stub.answer(request)
        pieces = answered if isinstance(answered, list) else [answered]
        for piece in pieces:
            if piece is None:
                self._transport.abort()
                return
            self._transport.write(piece)
            if b"connection: close" in piece.lower():
                self._transport.close()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stub.open.discard(self)
        for task in self._tasks:
            task.cancel()

    def end(self) -> None:
        """End the connection now."""
        self._transport.abort()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[Stub]:
    """A stub that listens as long as the context lasts."""
    stub = Stub(answer)
    await stub.start()
    try:
        yield stub
    finally:
        await stub.stop()


Serve = Callable[[Answer], Awaitable[Stub]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start stubs; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(answer: Answer) -> Stub:
            return await stack.enter_async_context(answering(answer))

        yield start


def always(answered: Answered, delay_s: float = 0.0) -> Answer:
    """Give each request this answer, some time after it came."""

    async def answer(_request: bytes) -> Answered:
        await asyncio.sleep(delay_s)
        return answered

    return answer


def in_turn(*answers: Answered) -> Answer:
    """Give one answer after the other, and the last one from then on."""
    left = iter(answers)

    async def answer(_request: bytes) -> Answered:
        return next(left, answers[-1])

    return answer


accept = always(reply())


def sender_of(plan: Plan, tally: Tally, source: Source | None = None) -> Sender:
    """The sender of a process's whole plan."""
    schedule = None
    if plan.rate_s is not None:
        schedule = arrivals(plan.arrivals, plan.rate_s, plan.duration_s, plan.seed)
    return Sender(
        plan,
        requests=source or Requests(plan, 0),
        tally=tally,
        host="127.0.0.1",
        port=int(plan.url.rpartition(":")[2]),
        connections=plan.connections,
        schedule=schedule,
    )


async def send(plan: Plan, source: Source | None = None) -> Tally:
    """Carry out a plan in this process; returns what was counted."""
    tally = Tally(remember=plan.verify)
    await sender_of(plan, tally, source).run(time.perf_counter() + START_S)
    return tally


def numbers_of(counts: Counts) -> dict[str, object]:
    """The counts that are not zero, bytes aside."""
    pairs = ((name, getattr(counts, name)) for name in Counts.__struct_fields__)
    return {name: value for name, value in pairs if value and name != "sent_bytes"}


def told(
    process: int = 0,
    *,
    elapsed_s: float = 1.0,
    latencies_us: list[int] | None = None,
    last: bool = False,
    acknowledged: range = range(0),
    cpu_s: float = 0.1,
    **counted: object,
) -> Snapshot:
    """What a process would tell its parent. `counted` are counts since the start."""
    tally = Tally(remember=True)
    tally.latencies_us = list(latencies_us or ())
    assert tally.acknowledged is not None
    tally.acknowledged.add_range(acknowledged.start, len(acknowledged))
    return Snapshot(
        process=process,
        counts=Counts(**{"refused": {}, "wrong": {}, **counted}),  # type: ignore[arg-type]
        latencies=tally.take_latencies(),
        cpu_s=cpu_s,
        elapsed_s=elapsed_s,
        last=last,
        made=acknowledged.stop,
        acknowledged=tally.acknowledged.to_bytes(),
    )


def outcome_of(plan: Plan, *snapshots: Snapshot) -> Outcome:
    """An outcome that has taken in these snapshots."""
    outcome = Outcome(plan)
    outcome.started_s = 1_700_000_000.0
    for snapshot in snapshots:
        outcome.add(snapshot)
    return outcome


@pytest.fixture
async def gateway(environ: dict[str, str], queue: Redis) -> AsyncIterator[Gateway]:
    """A gateway with the project `proj_1` that waits one second for a body; its queue is empty."""
    assert await queue.dbsize() == 0
    settings: Settings = read({**environ, "CONTOX_BODY_TIMEOUT_S": "1"})
    async with AsyncExitStack() as stack:
        engine = open_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        assert settings.master_key is not None
        sealed = Sealer(settings.master_key).seal(SECRET, project_id="proj_1")
        project = Project("proj_1", "demo", "active", 1, 1)
        await SqlProjects(engine).create(project, SealedSecret(sealed, None))
        serving_now = await stack.enter_async_context(serving(settings, asyncio.Event()))
        await until(lambda: not serving_now.publisher.away)
        yield serving_now


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
