"""One real stack, asked whether it is there, hurt, and looked for after its end."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from cli.accounts import open_accounts
from cli.errors import CliError
from cli.throwaway import PARTS, Throwaway, throwaway
from tests.cli.conftest import ended, environ_without_settings, until

pytestmark = pytest.mark.xdist_group("throwaway")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack puts its data."""
    return tmp_path_factory.mktemp("throwaway")


@pytest.fixture(scope="module")
def stack(directory: Path) -> Iterator[Throwaway]:
    """A stack that runs as long as this module; afterwards nothing is left of it."""
    with pytest.MonkeyPatch.context() as patched:
        for name in os.environ.keys() - environ_without_settings().keys():
            patched.delenv(name)
        patched.setattr("tempfile.tempdir", str(directory))
        with throwaway() as running:
            processes = [running_process(running), *running_process(running).children()]
            yield running
            processes += running_process(running).children()
    assert all(map(ended, processes))
    assert list(directory.iterdir()) == []


def running_process(stack: Throwaway) -> psutil.Process:
    """The process of `up`."""
    return psutil.Process(stack._process.pid)


def part(stack: Throwaway, name: str) -> int:
    """The process id of a part that runs; 0 if there is none now."""
    for child in running_process(stack).children():
        if not ended(child) and PARTS[name] in " ".join(child.cmdline()):
            return child.pid
    return 0


async def test_ready(stack: Throwaway) -> None:
    """The stack accepts events when the context begins."""
    async with aiohttp.ClientSession() as client, client.get(f"{stack.url}/readyz") as answer:
        assert answer.status == 200


async def test_store(stack: Throwaway, directory: Path) -> None:
    """Its settings mean its store, with its project and secret, in a directory of its own."""
    environ = stack.environ()
    assert str(directory) in environ["CONTOX_DATABASE_URL"]
    async with open_accounts(environ) as accounts:
        assert [project.id for project in await accounts.projects.list()] == [stack.project]
        assert await accounts.secret(stack.project) == stack.secret


def test_terminal(stack: Throwaway) -> None:
    """Ctrl-C on the terminal reaches the load only: the stack is in a session of its own."""
    assert os.getsid(stack._process.pid) != os.getsid(0)


@pytest.mark.parametrize("name", PARTS)
async def test_kill(stack: Throwaway, name: str) -> None:
    """A part that is killed is killed at once, and another takes its place."""
    before = await asyncio.to_thread(until, lambda: part(stack, name))
    victim = psutil.Process(before)
    assert stack.kill(name)
    until(lambda: ended(victim))
    after = await asyncio.to_thread(until, lambda: part(stack, name))
    assert after != before


def test_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack that does not start is an error with its last words, and leaves nothing."""
    monkeypatch.setenv("CONTOX_ACK", "maybe")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = psutil.Process().children()
    with pytest.raises(CliError, match=r"did not start: .*CONTOX_ACK must be memory"), throwaway():
        pytest.fail("it started")
    assert psutil.Process().children() == before
    assert list(tmp_path.iterdir()) == []


def test_error_in_the_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stack ends however the load does."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    processes: list[psutil.Process] = []
    with pytest.raises(KeyboardInterrupt), throwaway() as running:
        processes = [running_process(running), *running_process(running).children()]
        raise KeyboardInterrupt
    assert len(processes) == 4
    assert all(map(ended, processes))
    assert list(tmp_path.iterdir()) == []
