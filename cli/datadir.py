"""The data directory of `contox-ingest up`, and which store a command means.

DIR/                  mode 0700
  contox-ingest.db    projects and events (SQLite)
  master.key          seals the projects' secrets (base64)
  operator.token      opens ledgers and dead letters over HTTP: Authorization: Bearer <token>
  queue/              the append-only file of the embedded Valkey
  stack.json          what runs now: {"url", "workerUrl", "redisUrl", "pid"}; only while it runs
  up.lock             held by the `up` that runs
"""

import base64
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from cli.errors import CliError
from core.parse_as import MASTER_KEY_BYTES


def default_dir(environ: Mapping[str, str]) -> Path:
    """Where data is kept if nothing else is said (XDG Base Directory Specification)."""
    home = (
        environ.get("XDG_DATA_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".local/share"
    )
    return Path(home) / "contox-ingest"


class DataDir:
    """Paths in a data directory, and the settings they imply."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "contox-ingest.db"
        self.queue = self.path / "queue"
        self.stack = self.path / "stack.json"
        self._master_key = self.path / "master.key"
        self._operator_token = self.path / "operator.token"

    def create(self) -> None:
        """Make the directory, its master key and its operator token, where they are missing."""
        try:
            self.queue.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            if not self._master_key.exists():
                key = base64.b64encode(os.urandom(MASTER_KEY_BYTES))
                write_private(self._master_key, key + b"\n")
            if not self._operator_token.exists():
                write_private(self._operator_token, os.urandom(32).hex().encode() + b"\n")
        except OSError as error:
            raise CliError(
                f"The data directory {self.path} cannot be used: {error.strerror};"
                " name another with --data-dir."
            ) from None

    def lock(self) -> IO[str]:
        """Hold the directory until the file returned is closed."""
        file = (self.path / "up.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise CliError(
                f"Another contox-ingest up uses {self.path}; stop it, or name another directory"
                " with --data-dir."
            ) from None
        return file

    def running(self) -> dict[str, Any]:
        """What stack.json says of the stack that runs here; empty if none does."""
        try:
            content: dict[str, Any] = json.loads(self.stack.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return content

    def environ(self) -> dict[str, str]:
        """The settings, as environment variables, that mean this directory's store and queue."""
        settings = {"CONTOX_DATABASE_URL": f"sqlite:///{quote(str(self.database))}"}
        if self._master_key.exists():
            settings["CONTOX_MASTER_KEY"] = self._master_key.read_text().strip()
        if redis_url := self.running().get("redisUrl"):
            settings["CONTOX_REDIS_URL"] = redis_url
        return settings

    def operator_token(self) -> str:
        """The token that the gateway of `up` asks of operators, once `create` has made it."""
        return self._operator_token.read_text().strip()


def store_environ(data_dir: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that reads the store.

    --data-dir counts most, then CONTOX_DATABASE_URL, then the default directory.
    Raises CliError if the directory holds no store.
    """
    if data_dir is None and environ.get("CONTOX_DATABASE_URL"):
        return dict(environ)
    directory = DataDir(data_dir or default_dir(environ))
    if not directory.database.exists():
        raise CliError(
            f"There is no store in {directory.path}; make one with `contox-ingest up`, or name"
            " another with --data-dir or CONTOX_DATABASE_URL."
        )
    return {**environ, **directory.environ()}


def queue_environ(data_dir: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command that needs the store and its queue.

    As `store_environ`; raises CliError, too, if the directory's queue does not run.
    """
    found = store_environ(data_dir, environ)
    in_directory = data_dir is not None or not environ.get("CONTOX_DATABASE_URL")
    if in_directory and not found.get("CONTOX_REDIS_URL"):
        raise CliError(
            f"The queue of {(data_dir or default_dir(environ)).absolute()} does not run; start it"
            " with `contox-ingest up`, or name another with CONTOX_REDIS_URL."
        )
    return found


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.replace(path)
