"""Processes that are started again whenever they end, as an orchestrator does.

Ports are taken below the range that outgoing connections get theirs from: a port in that range
could be given to somebody's connection while its listener restarts, or a client that tries again
and again could even connect to itself.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

BACKOFF_S = 0.3
POLL_S = 0.05
STOP_S = 25
PORTS, SHARES = range(12_000, 30_000), 8  # each of the tests' processes has a share of its own
COMMAND = [sys.executable, str(Path(sys.executable).parent / "contox-ingest")]


class Process:
    """One process, kept running unless it is held down."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environ = environ
        self._log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._again_s = 0.0
        self._held = False
        self.starts = 0
        self.statuses: list[int] = []  # of those that have ended

    def keep(self) -> None:
        """Start it if it is down and its backoff is over."""
        with self._lock:
            if self._process is not None and (status := self._process.poll()) is not None:
                self.statuses.append(status)
                self._process, self._again_s = None, time.monotonic() + BACKOFF_S
            if self._process is None and not self._held and time.monotonic() >= self._again_s:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(
                        self._command, env=self._environ, stdout=log, stderr=log
                    )
                self.starts += 1

    def signal(self, number: int) -> None:
        """Send a signal to it, if it is up."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def pid(self) -> int:
        """Its process id, while it is up."""
        with self._lock:
            assert self._process is not None
            return self._process.pid

    def hold(self) -> None:
        """Do not start it again, until `release`."""
        with self._lock:
            self._held = True

    def release(self) -> None:
        """Start it again when it is down, from now on."""
        with self._lock:
            self._held, self._again_s = False, 0.0

    def down(self) -> bool:
        """Whether it has ended and has not been started again."""
        self.keep()
        with self._lock:
            return self._process is None

    def end(self) -> None:
        """Stop it for good: SIGTERM, and SIGKILL if that takes too long."""
        self.hold()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            wait_until(self.down, STOP_S, f"{self.name} to stop")
        except TimeoutError:
            self.signal(signal.SIGKILL)
            wait_until(self.down, STOP_S, f"{self.name} to be killed")

    def tail(self, count: int = 2_000) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-count:] if self._log.exists() else ""


class Keeper:
    """A thread that keeps processes running."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            for process in list(self._processes):
                process.keep()

    def keep_too(self, *processes: Process) -> None:
        """Keep further processes running."""
        self._processes.extend(processes)

    def end(self) -> None:
        """Stop keeping, and end the processes: those started last first."""
        for process in self._processes:
            process.hold()
        self._stop.set()
        self._thread.join()
        for process in reversed(self._processes):
            process.end()


given: set[int] = set()  # ports, by this process


def free_port() -> int:
    """A TCP port that nothing listens on now, that no outgoing connection will be given, and that
    nobody else was given: several are asked for before the first of them is listened on."""
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % SHARES
    while True:
        port = random.choice(PORTS[share::SHARES])
        if port in given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        given.add(port)
        return port


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll a condition. Raises TimeoutError that says what was waited for."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.02)
