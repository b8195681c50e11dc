"""The whole stack as a user runs it: processes of the command, nothing imported from it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

COMMAND = [sys.executable, str(Path(sys.executable).parent / "contox-ingest")]
START_S = 60


class Stack:
    """A `contox-ingest up` of the test's own, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._ready_file = directory / "ready.json"
        self._log = directory / "up.log"
        self.ready: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts."""
        options = ["--port", "0", "--data-dir", str(self.data)]
        command = [*COMMAND, "up", *options, "--ready-file", str(self._ready_file)]
        environ = {**os.environ, "CONTOX_API_REQUESTS_MINUTE": "1000000"}  # tests poll
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        wait_until(self._ready_file.exists, START_S)
        self.ready = json.loads(self._ready_file.read_text())

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(START_S)

    def printed(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def part(self, name: str) -> psutil.Process:
        """The child process whose command line names this part."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            if name in " ".join(child.cmdline()):
                return child
        raise LookupError(name)

    def kill(self, name: str) -> None:
        """SIGKILL a part, and wait until another has taken its place."""
        victim = self.part(name)
        victim.kill()

        def replaced() -> bool:
            try:
                return self.part(name).pid != victim.pid
            except (LookupError, psutil.NoSuchProcess):
                return False

        wait_until(replaced, START_S)

    def environ(self) -> dict[str, str]:
        """What `send` needs."""
        return {
            **os.environ,
            "CONTOX_URL": self.ready["url"],
            "CONTOX_PROJECT": self.ready["projectId"],
            "CONTOX_SECRET": self.ready["hmacSecret"],
            "CONTOX_API_KEY": self.ready["apiKey"] or "",
        }

    def run(self, *arguments: str) -> str:
        """Run a command to its end; returns what it printed. Fails if its status is not 0."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environ(),
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def events(self, limit: int = 50) -> list[dict[str, Any]]:
        """What is stored of the demo project."""
        options = ["--project", "demo", "--json", "--limit", str(limit)]
        stored: list[dict[str, Any]] = json.loads(
            self.run("events", *options, "--data-dir", str(self.data))
        )
        return stored


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Poll a condition for a bounded time."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A running stack, stopped after the test."""
    running = Stack(tmp_path)
    running.start()
    yield running
    running.stop()
