"""Idle connections, a few of them."""

import subprocess
import sys

import pytest

from bench.idle import OVER, measure, rss_held
from bench.processes import BenchError
from tests.bench.conftest import TINY


def test_idle() -> None:
    """Memory is told before and with the connections."""
    row = measure(TINY, connections=200)["rows"]["200"]
    assert row["MB idle"] > 10
    assert row[OVER] < 100


def test_not_held() -> None:
    """Connections that were not all held have no figure."""
    command = [sys.executable, "-c", "print(3)"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client,
        pytest.raises(BenchError, match="3 of 10 connections"),
    ):
        rss_held(client, 10, client.pid)
