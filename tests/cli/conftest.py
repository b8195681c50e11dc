"""Commands as people run them, and the servers that they talk to.

`command` runs one in this process, on a thread: quick, and the servers it talks to live on the
test's own loop beside it. What handles signals, logs or children is a process: `spawn`, `Stack`.
"""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psutil
import pytest
from redis.asyncio import Redis

from cli import main
from cli.accounts import open_accounts
from cli.datadir import DataDir
from core.codec import decode, explode
from core.event import Row
from core.partitions import stream_key
from core.settings import read
from gateway.main import serving

SCRIPT = str(Path(sys.executable).parent / "contox-ingest")
WAIT_S = 30
Value = TypeVar("Value")


class Result(NamedTuple):
    """What a command has left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, decoded."""
        return json.loads(self.out)


Command = Callable[..., Awaitable[Result]]


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Value], timeout_s: float = WAIT_S) -> Value:
    """Wait for something that another process does; returns what the condition gave."""
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
    return value


async def until_async(condition: Callable[[], Value], timeout_s: float = WAIT_S) -> Value:
    """`until`, for a condition that this loop brings about."""
    async with asyncio.timeout(timeout_s):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    return value


def ended(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def environ_without_settings() -> dict[str, str]:
    """The environment of the tests, without settings of whoever runs them."""
    keep = ("CONTOX_TEST_",)
    return {
        k: v for k, v in os.environ.items() if not k.startswith("CONTOX_") or k.startswith(keep)
    }


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the settings, or the data, of whoever runs it."""
    for name in os.environ.keys() - environ_without_settings().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: arguments, bytes for its standard input, its environment."""

    def call() -> int:
        try:
            main.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    async def run(*arguments: object, stdin: bytes = b"", **environ: str) -> Result:
        capsys.readouterr()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["contox-ingest", *map(str, arguments)])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            for name, value in environ.items():
                patched.setenv(name, value)
            status = await asyncio.to_thread(call)
        return Result(status, *capsys.readouterr())

    return run


class Child:
    """A `contox-ingest` process; what it says goes to files, so that no pipe can fill."""

    def __init__(self, directory: Path, *arguments: object, **environ: str) -> None:
        number = len(list(directory.glob("*.err")))
        self._out, self._err = directory / f"{number}.out", directory / f"{number}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [SCRIPT, *map(str, arguments)],
                cwd=directory,
                env={**environ_without_settings(), "XDG_DATA_HOME": str(directory), **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.read_text()

    def wait(self) -> Result:
        """Wait for its end."""
        return Result(self.process.wait(WAIT_S), self.out, self.err)

    def stop(self, number: int = signal.SIGTERM) -> Result:
        """Send a signal to its process group, as Ctrl-C does, and wait for its end."""
        os.killpg(self.process.pid, number)
        return self.wait()

    def end(self) -> None:
        """Whatever it does, end it and its children."""
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children()
            for each in (self.process, *children):
                each.kill()
            self.process.wait(WAIT_S)


Spawn = Callable[..., Child]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start commands as processes; they end with the test."""
    children: list[Child] = []

    def start(*arguments: object, **environ: str) -> Child:
        children.append(Child(tmp_path, *arguments, **environ))
        return children[-1]

    yield start
    for child in children:
        child.end()


class Stack(Child):
    """One `contox-ingest up` on a data directory, started until it is ready."""

    def __init__(self, directory: Path, *options: object, **environ: str) -> None:
        self.data_dir = directory / "data"
        self.ready_file = directory / "ready.json"
        paths = ("--data-dir", self.data_dir, "--ready-file", self.ready_file)
        super().__init__(directory, "up", "--port", 0, *paths, *options, **environ)
        self.ready: dict[str, str] = {}

    def wait_ready(self) -> "Stack":
        """Wait until events are accepted."""
        until(lambda: self.process.poll() is not None or "--data-binary" in self.out)
        assert self.process.poll() is None, self.err
        self.ready = json.loads(self.ready_file.read_text())
        return self

    def parts(self) -> dict[str, psutil.Process]:
        """The children that run now, by the role that their command lines name."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            line = " ".join(child.cmdline())
            for role in ("contox-ingest gateway", "contox-ingest worker", "valkey-server"):
                if role in line and not ended(child):
                    found[role.rpartition(" ")[2]] = child
        return found


def paste(line: str, directory: Path) -> Result:
    """What bash answers to a line."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env=environ_without_settings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Store(NamedTuple):
    """A data directory with a project, as `up` leaves one behind."""

    data_dir: Path
    environ: dict[str, str]
    project: str
    secret: str


@pytest.fixture
async def store(tmp_path: Path, environ: dict[str, str]) -> Store:
    """A data directory with the project `demo`; `environ` are settings that mean it."""
    directory = DataDir(tmp_path / "data")
    directory.create()
    settings = {**environ, **directory.environ()}
    async with open_accounts(settings) as accounts:
        project, secret = await accounts.create("demo")
    return Store(directory.path, settings, project.id, secret)


class Target(NamedTuple):
    """A gateway that serves here, what `send` needs to reach it, and its queue."""

    url: str
    credentials: dict[str, str]
    queue: Redis

    async def rows(self) -> list[Row]:
        """The events that the queue holds, as the worker would store them."""
        entries = await self.queue.xrange(stream_key(0))
        return [row for _, fields in entries for row in explode(decode(fields))]


@pytest.fixture
async def target(store: Store, queue: Redis) -> AsyncIterator[Target]:
    """A gateway in this process, on the project of `store`."""
    limits = {"CONTOX_EVENT_BYTES_MAX": "2000", "CONTOX_BATCH_EVENTS_MAX": "100"}
    settings = read({**store.environ, **limits})
    async with serving(settings, asyncio.Event()) as gateway:
        await until_async(lambda: not gateway.publisher.away)
        url = f"http://127.0.0.1:{gateway.port}"
        credentials = {
            "CONTOX_URL": url,
            "CONTOX_PROJECT": store.project,
            "CONTOX_SECRET": store.secret,
        }
        yield Target(url, credentials, queue)
