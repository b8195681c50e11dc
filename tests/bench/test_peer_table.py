"""The table of peers, with those that need nothing but what the tests have."""

import time
from pathlib import Path

import pytest

from bench.lineup import PEERS_OF_THE_TABLE, Missing, Peer, floor, started
from bench.load import Sender, signed, single
from bench.peer_table import IN_PYTHON, OURS, check_refusal, measure, post
from bench.processes import BenchError
from bench.queue_server import Queue
from bench.rounds import CPU
from bench.servers import Server
from core.kernels import NATIVE
from tests.bench.conftest import TINY

AIOHTTP = next(peer for peer in PEERS_OF_THE_TABLE if peer.name.startswith("aiohttp"))


def absent(_directory: Path, _port: int) -> list[str]:
    """A peer that cannot be had."""
    raise Missing("no abacus: apt-get install abacus")


def test_table() -> None:
    """Each server has a row; one that is missing or broken is named with the reason."""
    broken = Peer("broken", lambda _directory, _port: ["sh", "-c", "echo too old; exit 1"])
    table = measure(TINY, (Peer("floor", floor, checks=False), Peer("abacus", absent), broken))
    assert list(table["rows"]) == [OURS, *[IN_PYTHON] * NATIVE, "floor"]
    assert table["missing"] == {
        "abacus": "no abacus: apt-get install abacus",
        "broken": "sh does not listen: too old",
    }
    assert table["rows"]["floor"][CPU] < table["rows"][OURS][CPU]


def test_peer_checks(memory_queue: Queue) -> None:
    """A peer refuses a wrong signature and an old one, and appends what it answers."""
    memory_queue.empty("ingest")
    with started(AIOHTTP, memory_queue) as peer:
        check_refusal(peer)
    assert memory_queue.length("ingest") == 1


def test_gateway_checks(server: Server) -> None:
    """The gateway does the same."""
    check_refusal(server)
    wrong = Sender("proj_unknown", server.senders[0].secret)
    assert post(server, signed(wrong, single(0), int(time.time()))) == 401


def test_unchecked(memory_queue: Queue) -> None:
    """A server that takes any signature does not pass as one that checks."""
    with (
        started(Peer("floor", floor), memory_queue) as peer,
        pytest.raises(BenchError, match="answered 202 where 401 is right"),
    ):
        check_refusal(peer)
