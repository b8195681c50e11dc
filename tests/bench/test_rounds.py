"""Rounds, medians, and what makes a run not count."""

import pytest

from bench.load import Sender, single
from bench.processes import BenchError
from bench.queue_server import Queue
from bench.rounds import AGAINST, CPU, RATE, Figures, interleaved, medians, run
from bench.servers import Server


def test_interleaved() -> None:
    """Each round measures every case once, in order; what counts is the median."""
    seen: list[str] = []

    def case(name: str, values: list[float]) -> Figures:
        seen.append(name)
        return {"x": values.pop()}

    a, b = [1.0, 9.0, 2.0], [5.0, 4.0, 6.0]
    found = interleaved({"a": lambda: case("a", a), "b": lambda: case("b", b)}, 3)
    assert seen == ["a", "b"] * 3
    assert found == {"a": {"x": 2.0}, "b": {"x": 5.0}}


def test_against() -> None:
    """Against a base each round is a ratio of its own, and the median is theirs."""
    base, other = [1.0, 10.0, 2.0], [2.0, 30.0, 3.0]
    cases = {"base": lambda: {CPU: base.pop()}, "other": lambda: {CPU: other.pop()}}
    found = interleaved(cases, 3, base="base")
    assert found == {"base": {CPU: 2.0, AGAINST: 1.0}, "other": {CPU: 3.0, AGAINST: 2.0}}


def test_medians_of_two() -> None:
    """The median of an even number of rounds lies between the middle ones."""
    assert medians([{"x": 1.0}, {"x": 2.0}]) == {"x": 1.5}


def test_run(server: Server, memory_queue: Queue) -> None:
    """A run tells the server's CPU per request, and its rate."""
    figures = run(server, memory_queue, [single(0)], seconds=1)
    assert 1 < figures[CPU] < 10_000
    assert figures[RATE] > 10


def test_refused(server: Server, memory_queue: Queue) -> None:
    """A run whose requests are refused has no figures."""
    wrong = server._replace(senders=[Sender(server.senders[0].project, "whsec_0")])
    with pytest.raises(BenchError, match="refused"):
        run(wrong, memory_queue, [single(0)], seconds=1)


def test_untrue(server: Server, memory_queue: Queue) -> None:
    """A server whose 202s are not in the stream has no figures."""
    elsewhere = server._replace(stream="nowhere")
    with pytest.raises(BenchError, match="the stream holds 0"):
        run(elsewhere, memory_queue, [single(0)], seconds=1)
