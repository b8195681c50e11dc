"""One run of one server, and medians over interleaved rounds of several.

A round measures every case once, in the same order, so that a slow minute of the machine falls on
all of them alike; the medians of the rounds are what counts.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from bench.load import CONNECTIONS, requests_of, wrk
from bench.machine import cpu_s
from bench.processes import BenchError
from bench.queue_server import Queue
from bench.servers import Server

Figures = dict[str, float]
CPU, QUEUE_CPU, RATE = "CPU us/request", "queue us/request", "requests/s"
P50, P99, P999 = "p50 ms", "p99 ms", "p99.9 ms"
AGAINST = "against the first"


class Plan(NamedTuple):
    """How much is measured: rounds, whole seconds of load and of warming up in each run, and from
    how many connections."""

    rounds: int = 3
    seconds: int = 4
    warm_s: int = 2
    connections: int = CONNECTIONS


def interleaved(
    cases: Mapping[str, Callable[[], Figures]], rounds: int, *, base: str = ""
) -> dict[str, dict[str, float]]:
    """The medians of each case's figures over `rounds` rounds.

    base: a case that the CPU of the others is held against, round by round: a machine that is slow
    for minutes is so for both.
    """
    found: dict[str, list[Figures]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            found[name].append(measure())
        for figures in found.values() if base else ():
            figures[-1] = {**figures[-1], AGAINST: figures[-1][CPU] / found[base][-1][CPU]}
    return {name: medians(figures) for name, figures in found.items()}


def medians(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def run(
    server: Server,
    queue: Queue,
    bodies: Sequence[bytes],
    *,
    seconds: int,
    appends: bool = True,
    connections: int = CONNECTIONS,
) -> Figures:
    """Load a server for some seconds.

    appends: whether it is one that appends; then each 202 must have its entry in the stream.
    Raises BenchError if something was refused, or an answer was not true.
    """
    if appends:
        queue.empty(server.stream)
    requests = requests_of(server.senders, bodies)
    before, queue_before = cpu_s(server.pid), cpu_s(queue.pid)
    load = wrk(server.url, requests, seconds=seconds, connections=connections)
    spent, queue_spent = cpu_s(server.pid) - before, cpu_s(queue.pid) - queue_before
    if load.refused or load.broken or not load.requests:
        raise BenchError(f"{load.refused} of {load.requests} refused, {load.broken} broken")
    entries = queue.settled(server.stream) if appends else 0
    if appends and not load.requests <= entries <= load.requests + connections:
        raise BenchError(f"{load.requests} were answered 202, but the stream holds {entries}")
    return {
        CPU: spent / load.requests * 1e6,
        QUEUE_CPU: queue_spent / load.requests * 1e6,
        RATE: load.requests / load.seconds,
        P50: load.p50_ms,
        P99: load.p99_ms,
    }


def warmed(
    server: Server, queue: Queue, bodies: Sequence[bytes], plan: Plan, *, appends: bool = True
) -> Figures:
    """As `run`, after a run that is not counted."""
    once = partial(run, server, queue, bodies, appends=appends, connections=plan.connections)
    if plan.warm_s:
        once(seconds=plan.warm_s)
    return once(seconds=plan.seconds)
