"""What a single event costs as projects and backlog grow, against an empty system.

Every project sends in turn, so that each request needs another one's keys. They are in the
gateway's memory before a run: each project has sent once, and its keys are kept for longer than the
default 30 seconds, so that it is their number that is measured. A request that does not find them
there has a column of its own, the first sight of a project: its keys come from the store (where
there are over 1,000 projects, from Redis, as if another gateway had put them there), and its
session from the queue.
"""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.load import CONNECTIONS, read_figures, requests_of, write_script, wrk, wrk_command
from bench.machine import cpu_s
from bench.peer_table import bodies
from bench.processes import BenchError
from bench.queue_server import Queue, queue
from bench.rounds import CPU, RATE, Figures, Plan, interleaved, run
from bench.servers import Server, gateway

FIRST = "first sight us"
FIRST_S_MAX = 300
FROM_STORE_MAX = 1_000  # projects; more take too long
KEPT = {"CONTOX_KEYRING_TTL_S": "3600"}
FILL = """
for _ = 1, tonumber(ARGV[1]) do
    redis.call('XADD', KEYS[1], '*', 'h', ARGV[2], 'b', ARGV[3])
end
"""
FILL_ENTRIES = 20_000  # in one script call
HEADER = "1|proj_0|sess_0|0|single|identity|1|0|" + "0" * 64


class Size(NamedTuple):
    """How large a system is."""

    projects: int
    backlog: int  # entries

    def __str__(self) -> str:
        """As it is named in the table."""
        s = "" if self.projects == 1 else "s"
        return f"{self.projects:,} project{s}, backlog {self.backlog:,}"


class System(NamedTuple):
    """A gateway that has seen all of its projects."""

    queue: Queue
    server: Server
    first_us: float  # CPU of a request that was its project's first


EMPTY, FULL = Size(1, 0), Size(100_000, 1_000_000)
# The two that the bar compares are neighbours in each round.
SIZES = (EMPTY, FULL, Size(1_000, 0), Size(100_000, 0), Size(1, 1_000_000))


def measure(plan: Plan, sizes: tuple[Size, ...] = SIZES) -> dict[str, Any]:
    """A row per size; the first is what the others are held against."""
    with ExitStack() as stack:
        systems = {
            projects: stack.enter_context(system(projects, plan))
            for projects in dict.fromkeys(size.projects for size in sizes)
        }
        cases = {
            str(size): partial(one, systems[size.projects], size.backlog, plan) for size in sizes
        }
        rows = interleaved(cases, plan.rounds, base=str(sizes[0]))
    return {"title": "One event per request as the system grows, memory tier", "rows": rows}


@contextmanager
def system(projects: int, plan: Plan) -> Iterator[System]:
    """A gateway with that many projects, each of which has sent."""
    cached = projects > FROM_STORE_MAX
    with (
        queue(durable=False) as own,
        gateway(own, ack="memory", projects=projects, cached=cached, settings=KEPT) as server,
    ):
        first_us = first_sight(server, own, projects)
        if plan.warm_s:
            run(server, own, bodies(), seconds=plan.warm_s)
        yield System(own, server, first_us)


def one(system: System, backlog: int, plan: Plan) -> Figures:
    """One round of a system under a backlog."""
    with filled(system.server, system.queue, backlog):
        if plan.warm_s:  # filling takes long, in which the gateway has had nothing to do
            steady(system.server, system.queue, 1)
        figures = steady(system.server, system.queue, plan.seconds)
    return {**figures, FIRST: system.first_us}


def first_sight(server: Server, own: Queue, projects: int) -> float:
    """CPU us of a request that is its project's first. Raises BenchError if they take too long."""
    own.empty(server.stream)
    before, until_s = cpu_s(server.pid), time.monotonic() + FIRST_S_MAX
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        script = write_script(Path(directory), requests_of(server.senders, bodies()[:1]))
        command = wrk_command(server.url, script, seconds=FIRST_S_MAX, connections=CONNECTIONS)
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while own.length(server.stream) < projects and time.monotonic() < until_s:
            time.sleep(0.01)
        load.send_signal(signal.SIGINT)
        figures = read_figures(load.communicate(timeout=60)[0])
    spent, sent = cpu_s(server.pid) - before, own.settled(server.stream)
    if figures.refused or sent < projects:
        raise BenchError(f"{figures.refused} refused; {sent} of {projects} projects were let in")
    return spent / sent * 1e6


@contextmanager
def filled(server: Server, own: Queue, entries: int) -> Iterator[None]:
    """The stream with that many entries in it, each of an event as large as those sent."""
    own.empty(server.stream)
    body = bodies()[0]
    while (short := entries - own.length(server.stream)) > 0:
        own.client.eval(FILL, 1, server.stream, str(min(short, FILL_ENTRIES)), HEADER, body)
    yield
    own.empty(server.stream)


def steady(server: Server, own: Queue, seconds: int) -> Figures:
    """A run on top of what is in the stream. Raises BenchError if an answer was not true."""
    requests, held = requests_of(server.senders, bodies()), own.settled(server.stream)
    before = cpu_s(server.pid)
    load = wrk(server.url, requests, seconds=seconds)
    spent, entries = cpu_s(server.pid) - before, own.settled(server.stream) - held
    if load.refused or load.broken or not load.requests <= entries <= load.requests + CONNECTIONS:
        raise BenchError(f"{load.requests} answered, {load.refused} refused, {entries} appended")
    return {CPU: spent / load.requests * 1e6, RATE: load.requests / load.seconds}
