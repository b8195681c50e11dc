"""Processes of a benchmark: started pinned, waited for, ended however the run ends."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.machine import on_core

START_S = 60
STOP_S = 30
TOLD_MAX = 2_000  # characters of its log, if it does not start


class BenchError(Exception):
    """A measurement that cannot be made, or whose figures would not be true; one sentence."""


@contextmanager
def running(
    core: int, command: list[str], *, environ: Mapping[str, str], port: int
) -> Iterator[int]:
    """A process on a core, as its pid, once it listens on `port`; ended with the context.

    environ: added to this process's own. Raises BenchError if it ends, or does not listen in time.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            on_core(core, *command),
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            until_s = time.monotonic() + START_S
            while not listens(port):
                if process.poll() is not None or time.monotonic() > until_s:
                    log.seek(0)
                    said = log.read().decode(errors="replace")[-TOLD_MAX:]
                    raise BenchError(f"{command[0]} does not listen: {said}")
                time.sleep(0.02)
            yield process.pid
        finally:
            _end(process)


def listens(port: int) -> bool:
    """Whether a connection to the port of this host is taken."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
