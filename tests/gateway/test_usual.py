"""What is usual is appended as admission would have it, and nothing else is."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from core.auth import keyed
from core.codec import Entry
from core.errors import Unavailable
from core.head import FIELD_OF, Head
from core.ports import Bundle
from core.usual_python import ONES_MAX, Request
from gateway import usual as module
from gateway.admission import Admitted
from gateway.ones import Ones
from tests.gateway.conftest import NOW, Running
from tests.gateway.test_turn import asked
from tests.raw_http import EVENT, Headers, Producer

WITH_ID = b'{"event":"saved","id":"my-1","timestamp":1,"payload":{"n":"\xc3\xbc"}}'


class NotedTurn:
    """Notes what it is to go on with, and what it is told."""

    def __init__(self) -> None:
        self.resumed: list[Admitted] = []
        self.told: list[str | Unavailable] = []

    def resume(self, admitted: Admitted, started_s: float) -> None:
        """See gateway.ones.Resumable."""
        self.resumed.append(admitted)

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        self.told.append(durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        self.told.append(error)


class NotedConnection:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.turn = NotedTurn()
        self.responses: list[bytes] = []
        self.aborted = False

    def told(self, response: bytes, now_s: float) -> None:
        """See gateway.ones.Waiting."""
        self.responses.append(response)

    def abort(self) -> None:
        """See gateway.ones.Waiting."""
        self.aborted = True


def request(head: Head, body: bytes) -> Request:
    """One that has arrived."""
    return NotedConnection(), head, body


@pytest.fixture
async def bundles(
    running: Running, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> list[Bundle]:
    """What is appended together, of a project that is known by now."""
    assert (await producer.post(timestamp=NOW)).status == 202
    found: list[Bundle] = []
    monkeypatch.setattr(running.gateway.usual._queue, "put_all", found.append)
    return found


@pytest.mark.parametrize("body", [EVENT, WITH_ID], ids=["without id", "with its own"])
async def test_as_admission(running: Running, bundles: list[Bundle], body: bytes) -> None:
    """Entry, id, size and count are those that admission gives."""
    head = asked(running.producer, body)
    assert running.gateway.usual.take([request(head, body)]) == []
    admitted = running.gateway.admission.check_now(head, body)
    (bundle,) = bundles
    assert isinstance(bundle, Ones)
    ((entry, turn),) = bundle.each()
    assert admitted is not None
    assert isinstance(turn, NotedTurn)
    assert turn.resumed == [admitted]
    assert entry == admitted.entry
    assert {tally.name: events for tally, events in bundle.events.items()} == {"proj_1|a": 1}
    assert (bundle.entries, bundle.body_bytes) == (1, len(body))
    assert bundle.wire.endswith(body + b"\r\n")


async def test_entry(running: Running, producer: Producer) -> None:
    """What is read back from the queue is what was sent, in an answer's words and on the wire."""
    for _ in range(3):
        reply = await producer.post(WITH_ID, timestamp=NOW)
        assert reply.status == 202
        assert reply.json["eventId"] == "my-1"
    entries = await running.entries()
    assert [entry.body for entry in entries] == [WITH_ID] * 3
    assert {entry.session for entry in entries} == {reply.json["sessionId"]}
    assert len({(e.project, e.form, e.encoding, e.count, e.mac) for e in entries}) == 1


def changed(**fields: bytes | None) -> Callable[[Producer], tuple[Head, bytes]]:
    """A usual request but for these fields of its head."""

    def make(producer: Producer) -> tuple[Head, bytes]:
        head = asked(producer, EVENT)
        values = {name: getattr(head, name) for name in FIELD_OF.values()}
        return Head(**{**values, **fields}), EVENT

    return make


def of(body: bytes) -> Callable[[Producer], tuple[Head, bytes]]:
    """A rightly signed request with this body."""
    return lambda producer: (asked(producer, body), body)


UNUSUAL = {
    "no project": changed(project=None),
    "another project": changed(project=b"proj_2"),
    "no timestamp": changed(timestamp=None),
    "no number": changed(timestamp=b"now"),
    "old": changed(timestamp=b"%d" % (NOW - 301)),
    "no signature": changed(signature=None),
    "wrong": changed(signature=b"sha256=" + b"0" * 64),
    "two signatures": changed(signature=b"sha256=" + b"0" * 64 + b",sha256=" + b"0" * 64),
    "no type": changed(content_type=None),
    "ndjson": changed(content_type=b"application/x-ndjson"),
    "encoded": changed(content_encoding=b"gzip"),
    "gzip": of(gzip.compress(EVENT)),
    "array": of(b"[" + EVENT + b"]"),
    "space first": of(b" " + EVENT),
    "empty": of(b""),
    "no JSON": of(b"{"),
    "no UTF-8": of(b'{"event":"a","payload":{"x":"\xff"}}'),
    "no event": of(b'{"event":"a b","payload":{}}'),
    "too large": of(b'{"event":"a","payload":{"x":"%s"}}' % (b"x" * 1000)),
}


@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
async def test_not_usual(
    running: Running,
    bundles: list[Bundle],
    make: Callable[[Producer], tuple[Head, bytes]],
) -> None:
    """It is left to admission, among others that are taken."""
    usual = request(asked(running.producer, EVENT), EVENT)
    other = request(*make(running.producer))
    assert running.gateway.usual.take([usual, other, usual]) == [other]
    assert sum(bundle.entries for bundle in bundles) == 2


@pytest.mark.parametrize("over", [{"expires_s": 0.0}, {"ends_ms": 0}])
async def test_over(running: Running, bundles: list[Bundle], over: dict[str, Any]) -> None:
    """A key that has expired and a session that has ended are looked up anew."""
    one = request(asked(running.producer, EVENT), EVENT)
    lasts: dict[str, Any] = {"expires_s": float("inf"), "ends_ms": 1 << 60}
    standings, key = running.gateway.admission._standings, keyed(running.producer.secret)
    standings.learn("proj_1", "sess_1", key, **lasts)
    assert running.gateway.usual.take([one]) == []
    bundles.clear()
    standings.learn("proj_1", "sess_1", key, **{**lasts, **over})
    assert running.gateway.usual.take([one]) == [one]
    assert bundles == []


async def test_backlog_and_quotas(running: Running, bundles: list[Bundle]) -> None:
    """While the backlog is full, or projects have quotas, admission decides."""
    one = request(asked(running.producer, EVENT), EVENT)
    running.gateway.backlog.full = "full"
    assert running.gateway.usual.take([one]) == [one]
    running.gateway.backlog.full = ""
    running.gateway._quotas.bounded = True
    assert running.gateway.usual.take([one]) == [one]
    running.gateway._quotas.bounded = False
    assert running.gateway.usual.take([one]) == []


async def test_many(running: Running, bundles: list[Bundle]) -> None:
    """A bundle has a bound; what is beyond it goes into the next one, in the same order."""
    bodies = [b'{"event":"saved","id":"e%d","payload":{}}' % n for n in range(2 * ONES_MAX + 1)]
    requests = [request(asked(running.producer, body), body) for body in bodies]
    assert running.gateway.usual.take(requests) == []
    assert [bundle.entries for bundle in bundles] == [ONES_MAX, ONES_MAX, 1]
    entries: list[Entry] = [entry for bundle in bundles for entry, _ in bundle.each()]
    assert [entry.body for entry in entries] == bodies


async def test_stamps_are_bounded(
    running: Running, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timestamps are remembered for a second, and only so many; they count for no longer."""
    usual = running.gateway.usual
    one = request(asked(running.producer, EVENT), EVENT)
    assert usual.take([one]) == []
    assert list(usual._stamps) == [b"%d" % NOW]
    monkeypatch.setattr(module, "STAMPS_MAX", 0)
    assert usual.take([one]) == []
    assert len(usual._stamps) == 1
    usual._clock = lambda: NOW + 301.0
    assert usual.take([one]) == [one]


async def test_bug(
    running: Running,
    bundles: list[Bundle],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bug with one is said, leaves it to admission, and is not the others' fault."""

    def broken(_timestamp: bytes, **_window: int) -> int:
        raise ZeroDivisionError("a bug")

    good = request(asked(running.producer, EVENT), EVENT)
    assert running.gateway.usual.take([good]) == []
    bundles.clear()
    monkeypatch.setattr(module, "parse_timestamp", broken)  # the good one's is known by now
    bad = request(changed(timestamp=b"1")(running.producer)[0], EVENT)
    assert running.gateway.usual.take([bad, good]) == [bad]
    assert sum(bundle.entries for bundle in bundles) == 1
    assert "a bug" in capsys.readouterr().out


async def test_second_signature(running: Running, producer: Producer) -> None:
    """A header with two signatures, one of them right, is no usual one, and is let in."""
    right = asked(producer, EVENT).signature
    assert right is not None
    both: Headers = {"X-Contox-Signature": b"sha256=" + b"0" * 64 + b", " + right}
    for _ in range(2):
        assert (await producer.post(changed=both, timestamp=NOW)).status == 202


async def test_bug_in_the_queue(
    running: Running,
    bundles: list[Bundle],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bundle that the queue breaks on is put once, and its connections are closed; others are
    not touched."""
    put: list[Bundle] = []

    def put_all(bundle: Bundle) -> None:
        put.append(bundle)
        if len(put) == 1:
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(running.gateway.usual._queue, "put_all", put_all)
    requests = [request(asked(running.producer, EVENT), EVENT) for _ in range(2 * ONES_MAX + 1)]
    assert running.gateway.usual.take(requests) == []
    assert [bundle.entries for bundle in put] == [ONES_MAX, ONES_MAX, 1]
    aborted = [waiting.aborted for waiting, _, _ in requests]  # type: ignore[attr-defined]
    assert aborted == [True] * ONES_MAX + [False] * (ONES_MAX + 1)
    assert "a bug" in "".join(capsys.readouterr())
