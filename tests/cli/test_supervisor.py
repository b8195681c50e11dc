"""Real child processes: small scripts that write down what happens to them."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from cli import supervisor as module
from cli.errors import CliError
from cli.supervisor import Part, Supervisor, script
from tests.cli.conftest import ended, until, until_async

WAIT = "signal.pause()"
IGNORE_SIGTERM = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); say('deaf'); {WAIT}"
NOTE_SIGTERM = f"""
def stop(*_):
    say('stops')
    sys.exit()
signal.signal(signal.SIGTERM, stop)
say('listens')
while True: {WAIT}
"""


class Diary:
    """What the children of a test have said, one line each: name, what, pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def lines(self, what: str = "") -> list[list[str]]:
        """The lines so far, or those that say `what`."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return [line for line in lines if what in ("", line[1])]

    def part(
        self, name: str, code: str = WAIT, *, ready: str = "starts", stdin: bytes = b""
    ) -> Part:
        """A part that runs `code` after it has said `starts`; ready once it has said `ready`."""
        head = f"""
            import os, signal, sys
            def say(what):
                with open({str(self._path)!r}, "a") as file:
                    file.write(f"{name} {{what}} {{os.getpid()}}\\n")
            say("starts")
        """
        command = [sys.executable, "-S", "-c", textwrap.dedent(head) + code]

        async def is_ready() -> bool:
            return any(line[0] == name for line in self.lines(ready))

        return Part(name, command, {"GREETING": "hello"}, is_ready, stdin)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    """An empty diary."""
    return Diary(tmp_path / "diary")


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Stops what it has started with the test."""
    supervisor = Supervisor()
    yield supervisor
    await supervisor.stop()


def pids(diary: Diary, what: str = "starts") -> list[int]:
    """The processes that have said so."""
    return [int(line[2]) for line in diary.lines(what)]


async def test_starts(diary: Diary, supervisor: Supervisor) -> None:
    """A part is started once, and `start` returns when it is ready."""
    await supervisor.start(diary.part("a", f"say('set-up'); {WAIT}", ready="set-up"))
    assert [line[:2] for line in diary.lines()] == [["a", "starts"], ["a", "set-up"]]
    (process,) = [psutil.Process(pid) for pid in pids(diary)]
    assert process.ppid() == os.getpid()


async def test_group(diary: Diary, supervisor: Supervisor) -> None:
    """A part is in a process group of its own, which Ctrl-C does not reach."""
    await supervisor.start(diary.part("a"))
    (pid,) = pids(diary)
    assert os.getpgid(pid) == pid != os.getpgid(0)


async def test_environment_and_input(diary: Diary, supervisor: Supervisor) -> None:
    """A part gets exactly its environment, and its standard input to the end."""
    code = f"say(os.environ['GREETING']); say(str(len(sys.stdin.buffer.read()))); {WAIT}"
    await supervisor.start(diary.part("a", code, ready="100000", stdin=b"x" * 100_000))
    assert [line[1] for line in diary.lines()] == ["starts", "hello", "100000"]


async def test_no_input(diary: Diary, supervisor: Supervisor) -> None:
    """A part without input reads the end of it at once."""
    await supervisor.start(
        diary.part("a", f"say(str(sys.stdin.read() == '')); {WAIT}", ready="True")
    )


async def test_ends_at_start(diary: Diary, supervisor: Supervisor) -> None:
    """A part that ends before it is ready is a sentence that names it."""
    with pytest.raises(CliError, match=r"^a ended at its start; see its last words above\.$"):
        await supervisor.start(diary.part("a", "sys.exit(1)", ready="never"))


async def test_never_ready(
    diary: Diary, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that does not get ready in time is a sentence; it is stopped with the rest."""
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.3)
    with pytest.raises(CliError, match=r"^a was not ready after 0\.3 s\.$"):
        await supervisor.start(diary.part("a", ready="never"))
    await until_async(lambda: pids(diary))
    await supervisor.stop()
    assert not psutil.pid_exists(pids(diary)[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_restarted(diary: Diary, supervisor: Supervisor, number: int) -> None:
    """A part that dies is started again, and its neighbour is left alone."""
    await supervisor.start(diary.part("a"))
    await supervisor.start(diary.part("b"))
    first, neighbour = pids(diary)
    os.kill(first, number)
    await until_async(lambda: len(pids(diary)) == 3)
    assert not psutil.pid_exists(first)
    assert diary.lines()[2][0] == "a"
    assert psutil.Process(neighbour).is_running()


async def test_restarted_with_backoff(diary: Diary, supervisor: Supervisor) -> None:
    """A part that keeps dying is started again and again, each time after a longer wait."""
    await supervisor.start(diary.part("a", "import time; say(str(time.monotonic()))"))
    await until_async(lambda: len(diary.lines()) >= 8)
    times = [float(line[1]) for line in diary.lines() if line[1] != "starts"][:4]
    first_s, second_s, third_s = (b - a for a, b in itertools.pairwise(times))
    assert first_s >= 0.05
    assert second_s >= 0.1
    assert third_s >= 0.2


async def test_stop(diary: Diary) -> None:
    """Parts are told to stop one after the other, the last one started first, and not restarted."""
    supervisor = Supervisor()
    for name in "abc":
        await supervisor.start(diary.part(name, NOTE_SIGTERM, ready="listens"))
    await supervisor.stop()
    assert [line[0] for line in diary.lines("stops")] == ["c", "b", "a"]
    assert len(diary.lines("starts")) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids(diary))


async def test_stop_twice(diary: Diary) -> None:
    """Stopping what has stopped, or never started, does nothing."""
    await Supervisor().stop()
    supervisor = Supervisor()
    await supervisor.start(diary.part("a"))
    await supervisor.stop()
    await supervisor.stop()


async def test_stop_while_it_waits_to_restart(diary: Diary) -> None:
    """A part that is down when the rest is stopped stays down."""
    supervisor = Supervisor()
    await supervisor.start(diary.part("a", "sys.exit()"))
    await supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids(diary))


async def test_does_not_stop(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that ignores being stopped is killed after its time, and the others still stop."""
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.3)
    supervisor = Supervisor()
    await supervisor.start(diary.part("a", NOTE_SIGTERM, ready="listens"))
    await supervisor.start(diary.part("b", IGNORE_SIGTERM, ready="deaf"))
    started_s = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - started_s < 5
    assert [line[0] for line in diary.lines("stops")] == ["a"]
    await until_async(lambda: not any(psutil.pid_exists(pid) for pid in pids(diary)))


PARENT = """
import asyncio, os, sys
from cli.supervisor import Part, Supervisor

async def ready():
    return True

async def main():
    part = Part("a", [sys.executable, "-S", "-c", "import signal; signal.pause()"], {}, ready)
    supervisor = Supervisor()
    await supervisor.start(part)
    print(supervisor._processes["a"].pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_dies_with_its_parent() -> None:
    """Children end when the supervisor is killed and can tell them nothing."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert not ended(child)
        parent.kill()
    try:
        until(lambda: ended(child))
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_script() -> None:
    """A role's command line names the role, and what it runs is there."""
    interpreter, path, role = script("worker")
    assert (interpreter, Path(path).name, role) == (sys.executable, "contox-ingest", "worker")
    assert Path(path).is_file()


async def test_start_beside_one_that_fails(diary: Diary) -> None:
    """A part that was still starting when another failed is stopped too."""
    supervisor = Supervisor()
    failing = diary.part("a", "import time; time.sleep(0.2); sys.exit(1)", ready="never")
    with pytest.raises(CliError, match="a ended at its start"):
        await asyncio.gather(
            supervisor.start(failing), supervisor.start(diary.part("b", ready="never"))
        )
    await supervisor.stop()
    assert len(pids(diary)) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids(diary))


async def test_stop_while_it_restarts(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part whose restart is under way when the rest is stopped is stopped at once."""
    supervisor = Supervisor()
    await supervisor.start(diary.part("a"))
    spawn, under_way = asyncio.create_subprocess_exec, asyncio.Event()

    async def slowly(*arguments: Any, **options: Any) -> Any:
        under_way.set()
        await asyncio.sleep(0.1)
        return await spawn(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    os.kill(pids(diary)[0], signal.SIGKILL)
    await under_way.wait()
    async with asyncio.timeout(5):
        await supervisor.stop()


async def test_restart_fails(diary: Diary, tmp_path: Path) -> None:
    """A part that cannot be started again is tried again, and others still stop."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    supervisor = Supervisor()
    await supervisor.start(diary.part("a"))
    await supervisor.start(Part("b", [str(program)], {}, diary.part("a").ready))
    program.rename(tmp_path / "away")
    killed = supervisor._processes["b"]
    with capture_logs() as logged:
        killed.kill()
        await until_async(lambda: any(e["event"] == "part cannot be started" for e in logged))
        (tmp_path / "away").rename(program)
        await until_async(lambda: supervisor._processes["b"] is not killed)
        program.unlink()
        supervisor._processes["b"].kill()
        await supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids(diary))
