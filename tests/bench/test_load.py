"""What wrk is given to send, and what is read from it."""

import time

import pytest

from bench.load import (
    EVENT_BYTES,
    Load,
    Sender,
    batch,
    read_figures,
    requests_of,
    signed,
    single,
    wrk,
)
from bench.processes import BenchError
from bench.queue_server import Queue
from bench.servers import Server
from core.auth import keyed, verify
from core.body import Limits, parse
from core.compression import Encoding

SENDER = Sender("proj_1", "whsec_1")


@pytest.mark.parametrize("number", [0, 7, 63])
def test_single_size(number: int) -> None:
    """An event has the size that is compared, whatever its number."""
    assert len(single(number)) == EVENT_BYTES


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_batch_is_valid(count: int) -> None:
    """A batch holds as many valid events as it says."""
    kind, limits = b"application/json", Limits()
    body = batch(count, 3)
    found = parse(body, content_type=kind, encoding=Encoding.IDENTITY, limits=limits)
    assert (found.count, found.refused) == (count, [])


def test_signed() -> None:
    """A request is signed as the protocol says, and says how long its body is."""
    head, _, body = signed(SENDER, b"{}", 1_700_000_000).partition(b"\r\n\r\n")
    fields = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
    assert body == b"{}"
    assert fields[b"Content-Length"] == b"2"
    assert verify(
        [keyed(SENDER.secret)],
        timestamp=fields[b"X-Contox-Timestamp"],
        body=body,
        signature=fields[b"X-Contox-Signature"],
    )


def test_every_sender_and_body() -> None:
    """Each sender and each body is among the requests."""
    senders = [Sender(f"proj_{n}", "whsec_1") for n in range(5)]
    requests = requests_of(senders, [b"a", b"b"])
    assert len(requests) == 5
    assert all(f"Project: proj_{n}\r".encode() in requests[n] for n in range(5))
    assert {request[-1:] for request in requests} == {b"a", b"b"}


def test_figures() -> None:
    """Figures are read from the line of wrk's script; without it there is an error."""
    line = 'FIGURES {"requests": 9, "seconds": 1.5, "p50_ms": 1, "p99_ms": 2,'
    text = f'Running\n{line} "refused": 3, "broken": 4}}\n'
    assert read_figures(text) == Load(9, 1.5, 1, 2, 3, 4)
    with pytest.raises(BenchError, match="unable to connect"):
        read_figures("unable to connect")


def test_wrk_counts_refusals(server: Server, memory_queue: Queue) -> None:
    """Requests with a wrong signature are counted as refused, and append nothing."""
    memory_queue.empty(server.stream)
    wrong = signed(Sender(server.senders[0].project, "whsec_0"), single(0), int(time.time()))
    load = wrk(server.url, [wrong], seconds=1, connections=4)
    assert load.refused == load.requests > 0
    assert memory_queue.settled(server.stream) == 0
