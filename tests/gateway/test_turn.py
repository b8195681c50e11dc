"""One request of a connection, from its complete body to its answer."""

import asyncio

import pytest

from core.errors import Reason, Unavailable
from core.head import Head
from core.metrics import Metric
from gateway.admission import Admission
from gateway.answers import Answer
from gateway.turn import Turn
from tests.gateway.conftest import NOW, Running, Start, batch_of, until
from tests.raw_http import EVENT, Producer


class Asker:
    """Notes the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, bool]] = []

    def answered(self, answer: Answer, *, close: bool) -> None:
        """See gateway.turn.Asker."""
        self.answers.append((answer.kind.status, answer.kind.code, close))


def asked(producer: Producer, body: bytes = EVENT) -> Head:
    """The head of a signed request."""
    lines = producer.request(body, timestamp=NOW).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    found = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    return Head(
        found[b"x-contox-project"],
        found[b"x-contox-timestamp"],
        found[b"x-contox-signature"],
        found[b"content-type"],
    )


def begun(running: Running, body: bytes = EVENT) -> tuple[Turn, Asker]:
    """A turn that has begun with a request."""
    asker = Asker()
    turn = Turn(running.gateway.endpoint, asker)
    running.gateway.endpoint.receiving.take(len(body))
    turn.busy = True
    if turn.begin(asked(running.producer, body), body):
        turn.append()
    return turn, asker


def received(running: Running) -> float:
    """The bytes that count as being received."""
    return running.gateway.endpoint._meter.get(Metric.RECEIVING_BYTES)


async def test_cold_and_warm(running: Running, producer: Producer) -> None:
    """A project's first request is a task, later ones are not; each is told once it is durable."""
    for task in (True, False):
        turn, asker = begun(running)
        assert turn.busy
        assert (turn._task is not None) == task
        assert asker.answers == []
        await until(lambda turn=turn: not turn.busy)  # type: ignore[misc]
        assert asker.answers == [(202, "accepted", False)]
    assert received(running) == 0
    assert len(await running.entries()) == 2


async def test_refused_at_once(running: Running, producer: Producer) -> None:
    """What memory can refuse is refused within the call."""
    await producer.post(timestamp=NOW)
    turn, asker = begun(running, b"{")
    assert not turn.busy
    assert asker.answers == [(400, "invalid_json", False)]
    assert received(running) == 0


async def test_refused_by_the_queue(
    running: Running, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that is refused, at once or later, is a 503."""
    await producer.post(timestamp=NOW)
    running.gateway.publisher.away = "away"
    turn, asker = begun(running)
    assert asker.answers == [(503, "queue_unavailable", False)]
    monkeypatch.setattr(Admission, "put", lambda *_: None)
    turn, asker = begun(running)
    assert asker.answers == []
    turn.refused(Unavailable(Reason.BACKLOG_FULL))
    assert asker.answers == [(503, "backlog_full", False)]
    assert not turn.busy
    assert received(running) == 0


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
async def test_bug(
    running: Running, producer: Producer, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    """A bug is a 500 that closes the connection, and nothing counts as being received any more."""

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    if warm:
        await producer.post(timestamp=NOW)
    monkeypatch.setattr(Admission, "_parse", broken)
    turn, asker = begun(running)
    await until(lambda: not turn.busy)
    assert asker.answers == [(500, "internal_error", True)]
    assert received(running) == 0


async def test_held_back(start: Start) -> None:
    """A 429 is told later, though its body counts no more."""
    running = await start(CONTOX_QUOTA_EVENTS_S="1")
    running.gateway.admission._clock = lambda: NOW + 0.9
    running.gateway.usual._clock = lambda: NOW + 0.9
    await running.producer.post(batch_of(100), timestamp=NOW)
    turn, asker = begun(running)
    assert turn.busy
    assert received(running) == 0
    assert asker.answers == []
    async with asyncio.timeout(5):
        await until(lambda: not turn.busy)
    assert asker.answers == [(429, "rate_limited", False)]
