"""Requests that are appended together are answered together, each as if it were alone."""

import pytest

from core.errors import Reason, Unavailable
from core.metrics import Metric
from gateway.ones import Ones
from tests.gateway.conftest import Running
from tests.gateway.test_turn import asked
from tests.gateway.test_usual import NotedConnection, bundles
from tests.raw_http import EVENT

__all__ = ["bundles"]  # a fixture


async def taken(running: Running, bundles: list[Ones]) -> tuple[Ones, list[NotedConnection]]:
    """Three requests in a bundle, and their connections."""
    connections = [NotedConnection() for _ in range(3)]
    head = asked(running.producer, EVENT)
    running.gateway.endpoint.receiving.take(3 * len(EVENT))
    assert running.gateway.usual.take([(one, head, EVENT) for one in connections]) == []
    return bundles[-1], connections


async def test_accepted(running: Running, bundles: list[Ones]) -> None:
    """Each gets its 202; events, requests, bytes and times are counted, and no byte is held."""
    meter = running.gateway.endpoint._meter
    before = [meter.get(Metric.EVENTS_ACCEPTED, "fsynced"), meter.get(Metric.BYTES_ACCEPTED)]
    ones, connections = await taken(running, bundles)
    ones.accepted("fsynced")
    for connection in connections:
        (response,) = connection.responses
        assert response.startswith(b"HTTP/1.1 202 ")
        assert b"X-Contox-Durability: fsynced\r\n" in response
    assert len({connection.responses[0] for connection in connections}) == 3  # their request ids
    after = [meter.get(Metric.EVENTS_ACCEPTED, "fsynced"), meter.get(Metric.BYTES_ACCEPTED)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 3 * len(EVENT)]
    assert meter.get(Metric.RECEIVING_BYTES) == 0


async def test_refused(running: Running, bundles: list[Ones]) -> None:
    """Each turn is told, with an error of its own, and can answer."""
    ones, connections = await taken(running, bundles)
    ones.refused(Unavailable(Reason.BACKLOG_FULL))
    errors = [connection.turn.told[0] for connection in connections]
    assert [error.reason for error in errors if isinstance(error, Unavailable)] == [
        Reason.BACKLOG_FULL
    ] * 3
    assert len({id(error) for error in errors}) == 3
    assert all(len(connection.turn.resumed) == 1 for connection in connections)


async def test_bug(
    running: Running, bundles: list[Ones], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be told is ended, and is not the others' fault."""
    ones, connections = await taken(running, bundles)

    def broken(_response: bytes, _now_s: float) -> None:
        raise ZeroDivisionError("a bug")

    connections[1].told = broken  # type: ignore[method-assign]
    ones.accepted("memory")
    assert [len(one.responses) for one in connections] == [1, 0, 1]
    assert [one.aborted for one in connections] == [False, True, False]
    assert "a bug" in capsys.readouterr().out
