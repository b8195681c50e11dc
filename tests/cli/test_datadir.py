"""The data directory on a real file system: what is in it, who may read it, and who means it."""

import base64
import json
import re
import stat
from pathlib import Path

import pytest

from cli.accounts import open_accounts
from cli.datadir import DataDir, default_dir, queue_environ, store_environ, write_private
from cli.errors import CliError

OTHER = {"CONTOX_DATABASE_URL": "postgresql://h/db"}


def mode(path: Path) -> int:
    """A file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def directory(tmp_path: Path) -> DataDir:
    """A data directory, made in a place that did not exist."""
    directory = DataDir(tmp_path / "some" / "where")
    directory.create()
    return directory


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"XDG_DATA_HOME": "/data", "HOME": "/home/me"}, "/data/contox-ingest"),
        ({"XDG_DATA_HOME": "", "HOME": "/home/me"}, "/home/me/.local/share/contox-ingest"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/contox-ingest"),
    ],
)
def test_default(environ: dict[str, str], path: str) -> None:
    """The default directory follows XDG_DATA_HOME, and else lies in the home directory."""
    assert default_dir(environ) == Path(path)


def test_default_without_home() -> None:
    """Without any variable the home directory is the account's."""
    assert default_dir({}) == Path.home() / ".local/share/contox-ingest"


def test_create(directory: DataDir) -> None:
    """Only its owner can enter it or read its key, which is 32 random bytes."""
    key = directory.environ()["CONTOX_MASTER_KEY"]
    assert len(base64.b64decode(key)) == 32
    assert mode(directory.path) == 0o700
    assert mode(directory.path / "master.key") == 0o600
    assert mode(directory.path / "operator.token") == 0o600
    assert re.fullmatch("[0-9a-f]{64}", directory.operator_token())
    assert directory.queue.is_dir()


def test_create_again(directory: DataDir, tmp_path: Path) -> None:
    """What is there stays, key and token first of all; another directory has others."""
    key, token = directory.environ()["CONTOX_MASTER_KEY"], directory.operator_token()
    directory.path.chmod(0o755)
    directory.create()
    assert directory.environ()["CONTOX_MASTER_KEY"] == key
    assert directory.operator_token() == token
    assert mode(directory.path) == 0o700
    other = DataDir(tmp_path / "other")
    other.create()
    assert other.environ()["CONTOX_MASTER_KEY"] != key
    assert other.operator_token() != token


def test_create_in_an_older_directory(directory: DataDir) -> None:
    """A directory that was made before there was a token gets one."""
    (directory.path / "operator.token").unlink()
    directory.create()
    assert len(directory.operator_token()) == 64


def test_cannot_be_made(tmp_path: Path) -> None:
    """A directory that cannot be made is one sentence with the cause and the way out."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "data"
    with pytest.raises(CliError) as error:
        DataDir(path).create()
    assert str(error.value) == (
        f"The data directory {path} cannot be used: Not a directory; name another with --data-dir."
    )


def test_lock(directory: DataDir) -> None:
    """One holds the directory at a time, until the file is closed."""
    held = pytest.raises(CliError, match=f"^Another contox-ingest up uses {directory.path}; ")
    with directory.lock(), held:
        DataDir(directory.path).lock()
    directory.lock().close()


@pytest.mark.parametrize("content", [None, "", "{", "\x00"])
def test_nothing_runs(directory: DataDir, content: str | None) -> None:
    """Without stack.json, or with half of one, nothing runs there and no queue is named."""
    if content is not None:
        directory.stack.write_text(content)
    assert directory.running() == {}
    assert "CONTOX_REDIS_URL" not in directory.environ()


def test_environ(directory: DataDir) -> None:
    """The directory implies the store and the key, and the queue while it runs."""
    write_private(directory.stack, json.dumps({"redisUrl": "redis://:x@h:1/0"}).encode())
    assert directory.environ() == {
        "CONTOX_DATABASE_URL": f"sqlite:///{directory.path}/contox-ingest.db",
        "CONTOX_MASTER_KEY": (directory.path / "master.key").read_text().strip(),
        "CONTOX_REDIS_URL": "redis://:x@h:1/0",
    }


def test_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative directory means the one where the command was called, also for its children."""
    monkeypatch.chdir(tmp_path)
    url = DataDir(Path("data")).environ()["CONTOX_DATABASE_URL"]
    assert url == f"sqlite:///{tmp_path}/data/contox-ingest.db"


def test_store_by_option(directory: DataDir) -> None:
    """--data-dir counts more than the variable; other variables stay."""
    directory.database.touch()
    environ = store_environ(directory.path, {**OTHER, "CONTOX_LOG_LEVEL": "error"})
    assert environ == {**directory.environ(), "CONTOX_LOG_LEVEL": "error"}


def test_store_by_variable(directory: DataDir) -> None:
    """CONTOX_DATABASE_URL counts more than the default directory."""
    directory.database.touch()
    home = str(directory.path.parent)
    assert store_environ(None, {**OTHER, "XDG_DATA_HOME": home}) == {**OTHER, "XDG_DATA_HOME": home}


def test_store_by_default(tmp_path: Path) -> None:
    """With nothing said, the default directory is meant."""
    directory = DataDir(tmp_path / "contox-ingest")
    directory.create()
    directory.database.touch()
    environ = {"XDG_DATA_HOME": str(tmp_path), "CONTOX_DATABASE_URL": ""}
    assert store_environ(None, environ) == {**environ, **directory.environ()}


def test_no_store(tmp_path: Path) -> None:
    """A directory without a store is one sentence that says how to get one."""
    with pytest.raises(CliError) as error:
        store_environ(tmp_path, OTHER)
    assert str(error.value) == (
        f"There is no store in {tmp_path}; make one with `contox-ingest up`, or name another with"
        " --data-dir or CONTOX_DATABASE_URL."
    )


def test_queue(directory: DataDir) -> None:
    """A command that needs the queue takes that of the directory, or the one of the variable."""
    directory.database.touch()
    other = {"CONTOX_REDIS_URL": "redis://other"}
    assert queue_environ(directory.path, other)["CONTOX_REDIS_URL"] == "redis://other"
    write_private(directory.stack, json.dumps({"redisUrl": "redis://:x@h:1/0"}).encode())
    assert queue_environ(directory.path, other)["CONTOX_REDIS_URL"] == "redis://:x@h:1/0"
    assert queue_environ(None, OTHER) == OTHER  # with the setting's default


@pytest.mark.parametrize("by", ["option", "default"])
def test_no_queue(tmp_path: Path, by: str) -> None:
    """A directory whose stack does not run is one sentence that says how to start it."""
    directory = DataDir(tmp_path / "contox-ingest")
    directory.create()
    directory.database.touch()
    with pytest.raises(CliError) as error:
        queue_environ(directory.path if by == "option" else None, {"XDG_DATA_HOME": str(tmp_path)})
    assert str(error.value) == (
        f"The queue of {directory.path} does not run; start it with `contox-ingest up`, or name"
        " another with CONTOX_REDIS_URL."
    )


def test_write_private(tmp_path: Path) -> None:
    """A private file replaces the one before it whole, is its owner's only, and leaves no trace."""
    path = tmp_path / "file"
    path.write_text("something longer")
    path.chmod(0o644)
    write_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a b", "a?b=c", "a%20b", "a#b", "ü"])
async def test_odd_name(tmp_path: Path, name: str) -> None:
    """Whatever the directory is called, the store's URL means the file in it."""
    directory = DataDir(tmp_path / name)
    directory.create()
    async with open_accounts(directory.environ()) as accounts:
        await accounts.create("demo")
    assert directory.database.is_file()
