"""Responses as bytes in any pieces; connections against a stub, with an owner that takes notes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from loadtest.connection import Connection, Job, Reply, split_reply
from loadtest.requests import Request
from tests.loadtest.conftest import ACCEPTED, Answered, Serve, Stub, in_turn, reply, until

REQUEST = Request(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 0, 1)
CLOSING = reply(202, ACCEPTED, b"Connection: close")


@pytest.mark.parametrize(
    ("raw", "status", "closes"),
    [
        (reply(), 202, False),
        (reply(503, b""), 503, False),
        (reply(400, b"close", b"X-Why: close"), 400, False),
        (reply(202, ACCEPTED, b"Connection: keep-alive"), 202, False),
        (CLOSING, 202, True),
        (reply(408, b"{}", b"CONNECTION:   close"), 408, True),
        (reply(202, b"x" * 70_000), 202, False),
        (b"HTTP/1.1 202 A\r\ncontent-length:2\r\n\r\n{}", 202, False),
        (b"HTTP/1.1 202 A\r\nContent-Length: 2\r\nServer: 1\r\n\r\n{}", 202, False),
        (b"HTTP/1.1 202 A\r\nContent-Length: 2 \r\n\r\n{}", 202, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, False),
    ],
)
def test_split_reply(raw: bytes, status: int, closes: bool) -> None:
    """A response is found at its last byte, not before, and what follows it is left."""
    body = raw.partition(b"\r\n\r\n")[2]
    for size in {*range(min(len(raw), 200)), len(raw) - 1}:
        assert split_reply(raw[:size]) is None
    for more in (b"", raw, b"HTTP/1.1 400"):
        assert split_reply(raw + more) == Reply(status, body, len(raw), closes)


def test_length_in_the_body() -> None:
    """What looks like a header in the body is none."""
    body = b"\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
    assert split_reply(reply(202, body)) == Reply(202, body, len(reply(202, body)), False)


class Owner:
    """Notes what a connection tells."""

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.replies: list[tuple[Job, Reply]] = []
        self.lost: list[Job | None] = []

    def on_idle(self, connection: Connection) -> None:
        """See loadtest.connection.Owner."""
        self.idle.append(connection)

    def on_reply(self, connection: Connection, job: Job, reply: Reply) -> None:
        """See loadtest.connection.Owner."""
        assert connection.job is None
        self.replies.append((job, reply))

    def on_lost(self, connection: Connection, job: Job | None) -> None:
        """See loadtest.connection.Owner."""
        assert connection.job is None
        self.lost.append(job)


Opened = tuple[Owner, Connection, Stub]
Open = Callable[[list[Answered]], Awaitable[Opened]]


@pytest.fixture
async def connect(serve: Serve) -> AsyncIterator[Open]:
    """Open a connection to a stub that gives these answers, one after the other."""
    opened: list[Connection] = []

    async def start(answers: list[Answered]) -> Opened:
        owner, stub = Owner(), await serve(in_turn(*answers))
        loop = asyncio.get_running_loop()
        made = await loop.create_connection(lambda: Connection(owner), "127.0.0.1", stub.port)
        opened.append(made[1])
        return owner, made[1], stub

    yield start
    for connection in opened:
        connection.abort()
    await asyncio.sleep(0)


async def test_idle(connect: Open) -> None:
    """A connection that is open takes a job, and knows since when it waits for the answer."""
    owner, connection, stub = await connect([reply()])
    assert (owner.idle, connection.job) == ([connection], None)
    job, before_s = Job(0.0, REQUEST), time.perf_counter()
    connection.send(job)
    assert connection.job is job
    assert before_s <= connection.sent_s <= time.perf_counter()
    await until(lambda: bool(owner.replies))
    assert owner.replies == [(job, Reply(202, ACCEPTED, len(reply()), False))]
    assert stub.requests == [REQUEST.raw]


async def test_pieces(connect: Open) -> None:
    """An answer that comes byte by byte is one answer, and so is the next one."""
    pieces: list[bytes | None] = [reply()[at : at + 1] for at in range(len(reply()))]
    owner, connection, _ = await connect([pieces, reply(400, b"{}")])
    connection.send(Job(0.0, REQUEST))
    await until(lambda: len(owner.replies) == 1)
    connection.send(Job(0.0, REQUEST))
    await until(lambda: len(owner.replies) == 2)
    assert [reply.status for _, reply in owner.replies] == [202, 400]
    assert owner.lost == []


async def test_answer_that_nobody_waits_for(connect: Open) -> None:
    """What comes while no job waits is dropped; the next job gets its own answer."""
    owner, connection, _ = await connect([[reply(), reply(500, b"")], reply(400, b"{}")])
    connection.send(Job(0.0, REQUEST))
    await until(lambda: len(owner.replies) == 1)
    await asyncio.sleep(0.1)
    connection.send(Job(0.0, REQUEST))
    await until(lambda: len(owner.replies) == 2)
    assert [reply.status for _, reply in owner.replies] == [202, 400]


@pytest.mark.parametrize("answer", [None, [reply()[:-1], None], [b"HTTP/1.1 202", None]])
async def test_cut(connect: Open, answer: Answered) -> None:
    """A connection that is cut before the whole answer gives its job back."""
    owner, connection, _ = await connect([answer])
    job = Job(0.0, REQUEST)
    connection.send(job)
    await until(lambda: bool(owner.lost))
    assert (owner.lost, owner.replies, connection.retired) == ([job], [], False)


async def test_closing(connect: Open) -> None:
    """An answer says whether the server closes; retiring is not losing a job."""
    owner, connection, _ = await connect([CLOSING])
    connection.send(Job(0.0, REQUEST))
    await until(lambda: bool(owner.replies))
    assert owner.replies[0][1].closes
    connection.retire()
    await until(lambda: bool(owner.lost))
    assert (owner.lost, connection.retired) == ([None], True)


async def test_abort(connect: Open) -> None:
    """Ending a connection gives back the job that waits on it."""
    owner, connection, _ = await connect([[reply()[:5], b""]])
    job = Job(0.0, REQUEST)
    connection.send(job)
    connection.abort()
    await until(lambda: bool(owner.lost))
    assert owner.lost == [job]
