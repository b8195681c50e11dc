"""The load: `contox-ingest loadtest` as a process, and the proof that it ends with."""

import json
import os
import signal
import subprocess
import time
from typing import Any

from tests.system.processes import COMMAND, wait_until
from tests.system.rig import Rig

BOUND_S = 840  # it stops by itself then
START_S = 30
PROOF_S = 240
ALWAYS = 10_000


class Load:
    """A load test that runs until it is told to stop."""

    def __init__(self, rig: Rig, name: str, *options: str, retries: int = ALWAYS) -> None:
        self._file = rig.directory / f"{name}.json"
        self._log = rig.directory / f"{name}.log"
        where = ["--url", rig.url, "--database-url", rig.store.url, "--redis-url", rig.redis_url]
        how = ["--duration", str(BOUND_S), "--retries", str(retries), "--timeout", "10"]
        what = ["--payload-bytes", "100", "--verify", "--json", str(self._file)]
        who = {"CONTOX_PROJECT": rig.producer.project, "CONTOX_SECRET": rig.producer.secret}
        before = rig.metric("events_accepted_total")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "loadtest", *where, *how, *what, *options],
                env={**os.environ, **who},
                stdout=log,
                stderr=log,
            )
        wait_until(
            lambda: rig.metric("events_accepted_total") > before, START_S, f"load; {self.tail()}"
        )
        self._begun_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it has begun."""
        return time.monotonic() - self._begun_s

    def halt(self) -> None:
        """Let it stop, finish what is under way, and prove."""
        self._process.send_signal(signal.SIGINT)

    def report(self) -> dict[str, Any]:
        """What it has found, after `halt`."""
        self._process.wait(PROOF_S)
        assert self._file.exists(), f"the load test wrote no report: {self.tail()}"
        report: dict[str, Any] = json.loads(self._file.read_bytes())
        assert report["verify"], f"the load test has not proved anything: {self.tail()}"
        return report

    def end(self) -> None:
        """Be sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """The end of what it has printed."""
        return self._log.read_text(errors="replace")[-2_000:]
