"""What a usual request needs of its project is gone as soon as keyring or sessions drop theirs."""

import time

import pytest

from core.auth import keyed
from core.codec import opening
from core.partitions import partition_of
from core.ports import Project, SealedSecret
from core.usual import Standing
from gateway import tallies as tallies_module
from gateway.standings import Standings
from gateway.tallies import Tallies
from tests.gateway.conftest import NOW, SECRET, Running
from tests.raw_http import EVENT, Producer, Reply

PROJECT = b"proj_1"


def test_learned_and_forgotten() -> None:
    """A standing holds what it was learned with, by the header's bytes, until it is forgotten."""
    standings = Standings(Tallies(4))
    for project in ("proj_1", "proj_2"):
        standings.learn(project, "sess_1", keyed("s"), expires_s=5.0, ends_ms=7)
    standing = standings.found.get(PROJECT)
    assert standing is not None
    assert (standing.project, standing.session) == ("proj_1", "sess_1")
    assert standing.tally.name == "proj_1|a"
    assert (standing.expires_s, standing.ends_ms) == (5.0, 7)
    assert standing.opening == opening("proj_1", "sess_1")
    assert standing.partition == partition_of("proj_1", 4)
    standings.forget("proj_1")
    standings.forget("proj_1")
    assert standings.found.get(PROJECT) is None
    assert standings.found.get(b"proj_2") is not None
    standings.forget_all()
    assert len(standings.found) == 0


def test_ids_that_are_none_of_ours() -> None:
    """A project whose session has an id that nobody here has made is never usual."""
    standings = Standings(Tallies(1))
    for session in ("s" * 200, "é"):
        standings.learn("proj_1", session, keyed("s"), expires_s=5.0, ends_ms=7)
    assert len(standings.found) == 0


def test_tally_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose tally is forgotten has none here, and so its next request has a new one."""
    monkeypatch.setattr(tallies_module, "PROJECTS_MAX", 1)
    standings = Standings(Tallies(1))
    for project in ("proj_1", "proj_2"):
        standings.learn(project, "sess_1", keyed("s"), expires_s=5.0, ends_ms=7)
    assert standings.found.get(PROJECT) is None
    assert len(standings.found) == 1


def found(running: Running, project: bytes = PROJECT) -> Standing | None:
    """A project's in a gateway."""
    return running.gateway.admission._standings.found.get(project)


async def post(producer: Producer) -> Reply:
    """Send an event."""
    return await producer.post(EVENT, timestamp=NOW)


async def known(running: Running, producer: Producer) -> bool:
    """Whether the project has a standing after two requests; the first may have looked it up."""
    for _ in range(2):
        assert (await post(producer)).status == 202
    return found(running) is not None


async def test_first_request(running: Running, producer: Producer) -> None:
    """The first request of a project makes all later ones usual."""
    assert (await post(producer)).status == 202
    assert found(running) is not None


async def test_keyring_forgets(running: Running, producer: Producer) -> None:
    """A project's change, and news that may have been missed, end its standing."""
    assert await known(running, producer)
    running.gateway._keyring.forget("proj_1")
    assert found(running) is None
    assert await known(running, producer)
    running.gateway._keyring.forget_all()
    assert found(running) is None


async def test_session_ends(running: Running, producer: Producer) -> None:
    """A session that is closed ends the standing; the next event joins another session."""
    assert await known(running, producer)
    before = (await post(producer)).json["sessionId"]
    sessions = running.gateway._sessions
    await running.queue.delete("contox:session:proj_1")
    sessions._forget("proj_1", before)
    assert found(running) is None
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
    standing = found(running)
    assert standing is not None
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
        assert found(running, project.encode()) is None
