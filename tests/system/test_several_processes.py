"""A gateway of several processes under load: one is killed, one hangs, all are stopped."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.system.processes import wait_until
from tests.system.rig import Rig, Wanted, page
from tests.system.scenarios import loaded

pytestmark = pytest.mark.xdist_group("faults")
PROCESSES = 2
WANTED = Wanted(settings={"CONTOX_PROCESSES": str(PROCESSES)})
LOAD = ("--profile", "single", "--rate", "300", "--connections", "16")
CLIENTS = 4
NO_ANSWER = 0  # the connection was closed or refused: nobody was told no
WAIT_S = 30


def children(rig: Rig) -> list[psutil.Process]:
    """The gateway's processes that run."""
    found = psutil.Process(rig.gateway.pid()).children()
    return [child for child in found if child.status() != psutil.STATUS_ZOMBIE]


def shown(rig: Rig, name: str) -> float | None:
    """A metric as whichever process shows it; None if the connection broke."""
    text = page(rig.port, "metrics")
    values = re.findall(rf"^contox_ingest_{name}(?:{{[^}}]*}})? (\S+)$", text or "", re.MULTILINE)
    return sum(map(float, values)) if text else None


def complete(rig: Rig) -> None:
    """Wait until all processes are there."""
    wait_until(lambda: shown(rig, "processes") == PROCESSES, WAIT_S, "all processes")


@contextmanager
def posting(rig: Rig) -> Iterator[list[int]]:
    """Clients that post over and over; the statuses of all answers."""
    statuses: list[int] = []
    stop = threading.Event()

    def post() -> None:
        while not stop.is_set():
            statuses.append(rig.producer.post(rig.producer.new_id()))
            time.sleep(0.01)

    threads = [threading.Thread(target=post) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    yield statuses
    stop.set()
    for thread in threads:
        thread.join()


def test_killed() -> None:
    """One that is killed is replaced; nothing acknowledged is lost, and no counter goes back."""
    with Rig(WANTED) as rig:
        complete(rig)
        with loaded(rig, "killed", *LOAD) as load:
            last = 0.0
            for _ in range(3):
                (victim, *others) = children(rig)
                victim.kill()
                until_s = time.monotonic() + 1.5
                while time.monotonic() < until_s:
                    now = shown(rig, "events_accepted_total")
                    assert now is None or now >= last
                    last = now or last
                wait_until(lambda: len(children(rig)) == PROCESSES, WAIT_S, "another process")
                assert set(others) < set(children(rig))
            complete(rig)
            load.halt()
            report = load.report()
        assert report["verify"]["holds"], report["verify"]
        assert rig.gateway.starts == 1, rig.gateway.tail()


def test_hangs() -> None:
    """One that hangs holds up no page: its figures stay, and it is not counted any more."""
    with Rig(WANTED) as rig:
        complete(rig)
        for _ in range(40):
            assert rig.producer.post(rig.producer.new_id()) == 202
        time.sleep(1)
        hung = children(rig)[0]
        hung.suspend()
        try:
            wait_until(lambda: shown(rig, "processes") == PROCESSES - 1, WAIT_S, "the hung one")
            wait_until(lambda: shown(rig, "events_accepted_total") == 40, WAIT_S, "a page")
        finally:
            hung.resume()
        complete(rig)


def test_stopped() -> None:
    """SIGTERM under load: no answer but 202, nothing acknowledged is lost, status 0."""
    with Rig(WANTED) as rig:
        complete(rig)
        with loaded(rig, "stopped", *LOAD) as load:
            with posting(rig) as statuses:
                for _ in range(2):
                    rig.gateway.hold()
                    rig.gateway.signal(signal.SIGTERM)
                    wait_until(rig.gateway.down, WAIT_S, "the gateway to stop")
                    rig.gateway.release()
                    wait_until(rig.ready, WAIT_S, "a ready gateway")
                    complete(rig)
                wait_until(lambda: statuses.count(202) > 100, WAIT_S, "posts that are answered")
            load.halt()  # with nobody else about: the proof waits for an empty queue
            report = load.report()
        assert rig.gateway.statuses == [0, 0], rig.gateway.tail()
        assert report["verify"]["holds"], report["verify"]
        assert not report["counts"]["refused"], report["counts"]
        assert set(statuses) <= {202, NO_ANSWER}
