"""A stack for one load test: `contox-ingest up` in a directory that is deleted afterwards."""

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cli.datadir import DataDir
from cli.errors import CliError
from cli.supervisor import script

START_S = 60
STOP_S = 60
TOLD_MAX = 2_000  # characters of its log, if it does not start
PARTS = {
    "gateway": "contox-ingest gateway",
    "worker": "contox-ingest worker",
    "redis": "valkey-server",
}


class Throwaway:
    """A running stack: how to reach it, and how to hurt it."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready: dict[str, str], data: DataDir):
        self._process = process
        self.url = ready["url"]
        self.project = ready["projectId"]
        self.secret = ready["hmacSecret"]
        self._data = data

    def environ(self) -> dict[str, str]:
        """The settings that mean its store and queue."""
        return self._data.environ()

    def kill(self, part: str) -> bool:
        """SIGKILL gateway, worker or redis; False if it is not there, having just been killed."""
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                if PARTS[part] in " ".join(child.cmdline()):
                    child.kill()
                    return True
        return False


@contextmanager
def throwaway() -> Iterator[Throwaway]:
    """A stack that runs while the context lasts. Raises CliError if it does not start."""
    with tempfile.TemporaryDirectory(prefix="contox-ingest-") as directory:
        data, ready_file = Path(directory) / "data", Path(directory) / "ready.json"
        options = ["--port", "0", "--data-dir", str(data), "--ready-file", str(ready_file)]
        log = Path(directory) / "up.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*script("up"), *options],
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,  # Ctrl-C ends the load first
            )
        try:
            _wait_for(ready_file, process, log)
            yield Throwaway(process, json.loads(ready_file.read_text()), DataDir(data))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)


def _wait_for(ready_file: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until_s = time.monotonic() + START_S
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > until_s:
            raise CliError(f"The embedded stack did not start: {log.read_text()[-TOLD_MAX:]}")
        time.sleep(0.05)
