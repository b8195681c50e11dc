"""A family of real processes: started, started again, stopped, and what it says when it cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
WAIT_S = 20
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from runtime import processes
from runtime.log import configure
from runtime.processes import Family, StartError

configure("test", "info")
here, count, timeout_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
processes.FAILED_STARTS_MAX = 3

def note(name, number):
    with (here / name).open("a") as file:
        file.write(f"{number} {os.getpid()}\\n")

def wait():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int((here / "status").exists()) * 7))
    while True:
        time.sleep(9)

def serve(number, works):
    note("starts", number)
    if (here / f"wrong-{number}").exists():
        raise ValueError((here / f"wrong-{number}").read_text())
    if (here / f"bug-{number}").exists():
        raise KeyError("a bug")
    if (here / f"slow-{number}").exists():
        time.sleep(9)
    works()
    note("works", number)
    if (here / f"deaf-{number}").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(99)
    wait()

try:
    family = Family(count, serve, told=(ValueError,), retire=lambda n: note("retired", n),
                    on_stop=lambda: note("stops", -1), stop_timeout_s=timeout_s)
    sys.exit(family.run())
except StartError as error:
    sys.stdout.write(f"told: {error}")
    sys.exit(3)
"""


class Running:
    """A family that runs in a directory, whose files say what its children do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[str] | None = None
        self.out = ""

    def start(self, count: int, timeout_s: float = 10) -> None:
        """Start it."""
        arguments = [str(self.directory), str(count), str(timeout_s)]
        with (self.directory / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text()

    def has(self, name: str) -> None:
        """Say that a file is there."""
        (self.directory / name).write_text("It is wrong.")

    def noted(self, name: str) -> list[tuple[int, int]]:
        """What was noted: (number, process id)."""
        path = self.directory / name
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(number), int(pid)) for number, pid in map(str.split, lines)]

    def end(self, *numbers: int) -> int:
        """Send signals to the parent and wait for its end."""
        assert self.process is not None
        for number in numbers:
            self.process.send_signal(number)
        self.out, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Running]:
    """A family that ends with the test."""
    running = Running(tmp_path)
    yield running
    if running.process is not None and running.process.poll() is None:
        running.end(signal.SIGKILL)
    for _, pid in running.noted("starts"):
        assert not psutil.pid_exists(pid) or until(lambda pid=pid: not psutil.pid_exists(pid))


def until(condition: Callable[[], bool]) -> bool:
    """Wait for something."""
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
    return True


def test_start_and_stop(family: Running) -> None:
    """The first child works before the others start; SIGTERM reaches all; status 0 if it is
    theirs."""
    family.start(3)
    until(lambda: len(family.noted("works")) == 3)
    starts = [number for number, _ in family.noted("starts")]
    assert (starts[0], sorted(starts)) == (0, [0, 1, 2])
    assert family.end(signal.SIGTERM) == 0
    assert sorted(number for number, _ in family.noted("retired")) == [0, 1, 2]
    assert len(family.noted("stops")) == 1


def test_status(family: Running) -> None:
    """The status is 1 if a child does not end with 0."""
    family.has("status")
    family.start(2)
    until(lambda: len(family.noted("works")) == 2)
    assert family.end(signal.SIGINT) == 1


def test_restart(family: Running) -> None:
    """A child that was killed is started again, and the others go on."""
    family.start(2)
    until(lambda: len(family.noted("works")) == 2)
    victim = dict(family.noted("works"))[1]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(family.noted("works")) == 3)
    assert [number for number, _ in family.noted("works")].count(0) == 1
    assert family.noted("retired") == [(1, family.process.pid)]  # type: ignore[union-attr]
    assert "process died; restarting" in family.log
    assert family.end(signal.SIGTERM) == 0


def test_first_cannot_start(family: Running) -> None:
    """What keeps the first child from starting is told in its words, once; no other one starts."""
    family.has("wrong-0")
    family.start(3)
    assert family.end() == 3
    assert family.out == "told: It is wrong."
    assert len(family.noted("starts")) == 1


def test_bug_at_the_start(family: Running) -> None:
    """A bug is logged with its traceback by the child, and ends the family."""
    family.has("bug-0")
    family.start(2)
    assert family.end() == 3
    assert "a bug" in family.log


def test_others_cannot_start(family: Running) -> None:
    """While one works, those that cannot start are tried again, ever more seldom."""
    family.has("wrong-1")
    family.start(2)
    until(lambda: len(family.noted("starts")) >= 6)
    assert dict(family.noted("works")).keys() == {0}
    (family.directory / "wrong-1").unlink()
    until(lambda: dict(family.noted("works")).keys() == {0, 1})
    assert family.end(signal.SIGTERM) == 0


def test_none_can_start_any_more(family: Running) -> None:
    """Once none is left and starts keep failing, it gives up with a child's words."""
    family.start(2)
    until(lambda: len(family.noted("works")) == 2)
    family.has("wrong-0")
    family.has("wrong-1")
    for _, pid in family.noted("works"):
        os.kill(pid, signal.SIGKILL)
    assert family.end() == 3
    assert family.out == "told: It is wrong."


def test_child_that_does_not_stop(family: Running) -> None:
    """A child that is deaf is killed in the end, and the status is 1."""
    family.has("deaf-1")
    family.start(2, timeout_s=0.5)
    until(lambda: len(family.noted("works")) == 2)
    time.sleep(0.2)
    assert family.end(signal.SIGTERM) == 1


def test_stop_twice(family: Running) -> None:
    """A second signal ends what has not stopped yet at once."""
    family.has("deaf-0")
    family.start(1, timeout_s=60)
    until(lambda: len(family.noted("works")) == 1)
    assert family.process is not None
    family.process.send_signal(signal.SIGTERM)
    until(lambda: len(family.noted("stops")) == 1)
    assert family.end(signal.SIGTERM) == 1


def test_stop_while_starting(family: Running) -> None:
    """A stop before the first child works is in order."""
    family.has("slow-0")
    family.start(2)
    until(lambda: len(family.noted("starts")) == 1)
    assert family.end(signal.SIGTERM) == 0


def test_signals_to_all(family: Running) -> None:
    """Where a service manager signals every process, each is stopped in order all the same."""
    family.start(2)
    until(lambda: len(family.noted("works")) == 2)
    time.sleep(0.2)
    for _, pid in family.noted("works"):
        os.kill(pid, signal.SIGTERM)
    assert family.end(signal.SIGTERM) == 0


def test_parent_is_killed(family: Running) -> None:
    """When the parent is killed its children stop."""
    family.start(2)
    until(lambda: len(family.noted("works")) == 2)
    assert family.end(signal.SIGKILL) == -9
    pids = [pid for _, pid in family.noted("works")]
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
