"""Processes of a benchmark."""

import os
import sys

import pytest

from bench.processes import BenchError, listens, running
from cli.embedded import free_port

SERVE = "import socket, time; s = socket.create_server(('127.0.0.1', int({port}))); time.sleep(60)"


def test_running() -> None:
    """A process listens while the context lasts, and is gone afterwards."""
    port = free_port()
    command = [sys.executable, "-c", SERVE.format(port=port)]
    with running(0, command, environ={}, port=port) as pid:
        assert listens(port)
    assert not listens(port)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_does_not_start() -> None:
    """A process that ends at its start is an error with its last words."""
    command = [sys.executable, "-c", "raise SystemExit('no such luck')"]
    with pytest.raises(BenchError, match="no such luck"), running(0, command, environ={}, port=1):
        pytest.fail("it started")
