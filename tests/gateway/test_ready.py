"""Connections are served in a row, and a bug in one is not the others' fault."""

import asyncio

import pytest

from core.head import Head
from gateway.ready import Ready
from gateway.turn import Turn
from tests.gateway.conftest import NOW, Running
from tests.raw_http import Producer, read_reply

Told = list[tuple[str, str]]


class NotedTurn(Turn):
    """Notes what it is told."""

    def __init__(self, told: Told, name: str) -> None:
        self.told, self.name = told, name

    def begin(self, head: Head, body: bytes) -> bool:
        """See Turn."""
        self.told.append((self.name, f"begins {body.decode()}"))
        if self.name == "c":
            raise ZeroDivisionError("another bug")
        return body != b"refused"

    def append(self) -> None:
        """See Turn."""
        self.told.append((self.name, "is appended"))
        if self.name == "d":
            raise ZeroDivisionError("a third bug")


class Noted:
    """A connection with these requests, that notes what it is told."""

    def __init__(self, told: Told, name: str, *bodies: bytes) -> None:
        self.told, self.name, self.bodies = told, name, list(bodies)
        self.turn: Turn = NotedTurn(told, name)

    def take(self) -> tuple["Noted", Head, bytes] | None:
        """See gateway.ready.Served."""
        self.told.append((self.name, "is asked"))
        if self.name == "broken":
            raise ZeroDivisionError("a bug")
        return (self, Head(), self.bodies.pop(0)) if self.bodies else None

    def abort(self) -> None:
        """See gateway.ready.Served."""
        self.told.append((self.name, "is aborted"))


async def test_together(capsys: pytest.CaptureFixture[str]) -> None:
    """All are asked in the loop's next turn, then all requests begin, then those that are admitted
    are appended; one that raises is ended."""
    told: Told = []
    ready = Ready()
    names = {"broken": [], "c": [b"3"], "a": [b"1", b"2"], "b": [], "d": [b"4"], "e": [b"refused"]}
    for name, bodies in names.items():
        ready.add(Noted(told, name, *bodies))
    assert told == []
    await asyncio.sleep(0)
    assert told == [
        ("broken", "is asked"),
        ("broken", "is aborted"),
        ("c", "is asked"),
        ("a", "is asked"),
        ("b", "is asked"),
        ("d", "is asked"),
        ("e", "is asked"),
        ("c", "begins 3"),
        ("c", "is aborted"),
        ("a", "begins 1"),
        ("d", "begins 4"),
        ("e", "begins refused"),
        ("a", "is appended"),
        ("d", "is appended"),
        ("d", "is aborted"),
    ]
    said = "".join(capsys.readouterr())
    assert "a bug" in said
    assert "another bug" in said
    assert "a third bug" in said
    await asyncio.sleep(0)
    assert len(told) == 15


async def test_asked_twice(running: Running, producer: Producer) -> None:
    """Two reads of a connection in one turn of the loop begin one request, then the next."""
    reader, writer = await asyncio.open_connection("127.0.0.1", producer.port)
    writer.write(producer.request(timestamp=NOW))
    assert (await read_reply(reader)).status == 202
    (lane,) = running.gateway.connections._open
    for _ in range(2):
        lane.data_received(producer.request(timestamp=NOW))  # type: ignore[attr-defined]
    for _ in range(2):
        assert (await read_reply(reader)).status == 202
    writer.close()
    assert len(await running.entries()) == 3


async def test_bug_of_the_usual(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is not known what has become of requests, their connections are closed."""
    told: Told = []
    ready = Ready()
    ready.usual = lambda taken: taken[len(taken)]
    for name in ("a", "b"):
        ready.add(Noted(told, name, b"1"))
    ready.add(Noted(told, "idle"))
    await asyncio.sleep(0)
    assert told[3:] == [("a", "is aborted"), ("b", "is aborted")]
    assert "IndexError" in "".join(capsys.readouterr())
