"""What a usual request needs of its project is gone as soon as keyring or sessions drop theirs."""

import time

import pytest

from core.auth import keyed
from core.ledger import ENTRIES
from core.partitions import partition_of
from core.ports import Project, SealedSecret
from gateway import standings as module
from gateway.standings import Standings
from tests.gateway.conftest import NOW, SECRET, Running
from tests.raw_http import EVENT, Producer, Reply

PROJECT = b"proj_1"


def learn(standings: Standings, project: str, session: str = "sess_1") -> None:
    """Have a project's requests be usual."""
    standings.learn(project, session, keyed("s"), expires_s=5.0, ends_ms=7)


def test_one_of_each() -> None:
    """A project has one, in its partition; each partition has one of all entries."""
    standings = Standings(4)
    first = standings.of("proj_1")
    assert standings.of("proj_1") is standings.found.get(PROJECT) is first
    assert standings.of("proj_2") is not first
    assert (first.name, first.partition) == ("proj_1|a", partition_of("proj_1", 4))
    assert [one.name for one in standings.entries] == [f"{ENTRIES}|a"] * 4
    assert standings.found.get(b"") is None


def test_learned_and_forgotten() -> None:
    """A project's requests are usual, by what was learned, until it is forgotten."""
    standings = Standings(4)
    for project in ("proj_1", "proj_2"):
        learn(standings, project)
    standing = standings.of("proj_1")
    assert (standing.session, standing.expires_s, standing.ends_ms) == ("sess_1", 5.0, 7)
    assert standings.is_usual(PROJECT)
    for project in ("proj_1", "proj_1", "proj_9"):
        standings.forget(project)
    assert [standings.is_usual(b"proj_%d" % number) for number in (1, 2, 9)] == [False, True, False]
    learn(standings, "proj_1")
    assert standings.is_usual(PROJECT)
    standings.forget_all()
    assert not standings.is_usual(PROJECT)
    assert not standings.is_usual(b"proj_2")
    assert standings.of("proj_1") is standing


def test_ids_that_are_none_of_ours() -> None:
    """A project whose session has an id that nobody here has made is never usual."""
    standings = Standings(1)
    for session in ("s" * 200, "é"):
        learn(standings, "proj_1", session)
    assert not standings.is_usual(PROJECT)


def test_seen() -> None:
    """What was seen is told by partition, usual or not; what was not is not there."""
    standings = Standings(4)
    partition = partition_of("proj_1", 4)
    learn(standings, "proj_1")
    standings.of("proj_1").seen = 7
    standings.of("proj_2")
    standings.entries[partition].seen = 5
    standings.forget("proj_1")
    assert standings.seen(partition) == {"|a": 5, "proj_1|a": 7}
    assert [standings.seen(other) for other in range(4) if other != partition] == [{}] * 3


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ones first seen longest ago are forgotten, with all that was known of them."""
    monkeypatch.setattr(module, "PROJECTS_MAX", 2)
    standings = Standings(1)
    oldest = standings.of("a")
    for number, project in enumerate(("a", "b", "a", "c"), start=1):
        learn(standings, project)
        standings.of(project).seen = number
    assert standings.seen(0) == {"b|a": 2, "c|a": 4}
    assert [standings.is_usual(project) for project in (b"a", b"b", b"c")] == [False, True, True]
    assert not oldest.is_usual
    assert len(standings.found) == 2


def is_usual(running: Running, project: bytes = PROJECT) -> bool:
    """Whether a project's requests are, in a gateway."""
    return running.gateway.admission._standings.is_usual(project)


async def post(producer: Producer) -> Reply:
    """Send an event."""
    return await producer.post(EVENT, timestamp=NOW)


async def known(running: Running, producer: Producer) -> bool:
    """Whether the project has a standing after two requests; the first may have looked it up."""
    for _ in range(2):
        assert (await post(producer)).status == 202
    return is_usual(running)


async def test_first_request(running: Running, producer: Producer) -> None:
    """The first request of a project makes all later ones usual."""
    assert (await post(producer)).status == 202
    assert is_usual(running)


async def test_keyring_forgets(running: Running, producer: Producer) -> None:
    """A project's change, and news that may have been missed, end its standing."""
    assert await known(running, producer)
    running.gateway._keyring.forget("proj_1")
    assert not is_usual(running)
    assert await known(running, producer)
    running.gateway._keyring.forget_all()
    assert not is_usual(running)


async def test_session_ends(running: Running, producer: Producer) -> None:
    """A session that is closed ends the standing; the next event joins another session."""
    assert await known(running, producer)
    before = (await post(producer)).json["sessionId"]
    sessions = running.gateway._sessions
    await running.queue.delete("contox:session:proj_1")
    sessions._forget("proj_1", before)
    assert not is_usual(running)
    assert (await post(producer)).json["sessionId"] != before


async def test_session_replaced_meanwhile(
    running: Running, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose session is over once it has joined it leaves no standing in it."""
    sessions = running.gateway._sessions
    join = sessions.join

    async def slowly(project_id: str, now_ms: int) -> str:
        session = await join(project_id, now_ms)
        await running.queue.delete("contox:session:proj_1")
        sessions._forget("proj_1", session)
        await join(project_id, now_ms)  # another request's
        return session

    monkeypatch.setattr(sessions, "join", slowly)
    old = (await post(producer)).json["sessionId"]
    assert is_usual(running)
    standing = running.gateway.admission._standings.of("proj_1")
    assert standing.session != old
    assert (await post(producer)).json["sessionId"] == standing.session


async def test_rotating(running: Running, producer: Producer) -> None:
    """A project with two secrets, one that is disabled, and one that is unknown have none."""
    sealed = running.seal("whsec_new")
    await running.projects.create(
        Project("proj_3", "off", "disabled", 1, 1),
        SealedSecret(running.sealer.seal(SECRET, project_id="proj_3"), None),
    )
    now_ms = int(time.time() * 1000)
    expires_ms = NOW * 1000 + 60_000
    await running.projects.rotate("proj_1", sealed, now_ms=now_ms, old_expires_ms=expires_ms)
    assert not await known(running, producer)
    for project, status in (("proj_3", 403), ("proj_9", 401)):
        other = Producer(running.gateway.port, project, SECRET)
        for _ in range(2):
            assert (await post(other)).status == status
        assert not is_usual(running, project.encode())
