"""Runs a plan: starts the sending processes, and adds up what they tell."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any

import msgspec

from loadtest import process
from loadtest.measure import Bits, Counts, Latencies, Snapshot, percentiles_ms
from loadtest.plan import Plan

WARM_UP_S = 1.5  # for the processes to start and connect
SATURATED = 0.9  # share of a core from which the sender may be what limits


class Second(msgspec.Struct):
    """One second of a run: what was answered in it."""

    at_s: int
    requests: int
    events: int
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Outcome:
    """What a run has come to, so far or in the end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started_s = 0.0  # Unix time
        self.elapsed_s = 0.0
        self.partial = False
        self.made: dict[int, int] = {}  # by process: events made
        self.acknowledged: dict[int, Bits] = {}  # by process: events that got a 202
        self.cpu_share: dict[int, float] = {}  # by process: of one core
        self._latest: dict[int, Counts] = {}
        self._per_second: dict[int, tuple[Latencies, list[int]]] = {}
        self._seconds: dict[int, Second] = {}  # worked out of it, as far as it has not changed

    @property
    def counts(self) -> Counts:
        """The counts of all processes."""
        total = Counts(refused={}, wrong={})
        for counts in self._latest.values():
            total.add(counts)
        return total

    @property
    def saturated(self) -> bool:
        """Whether a sender used about a whole core: then it, not the target, may be the limit."""
        return any(share > SATURATED for share in self.cpu_share.values())

    @property
    def latencies(self) -> Latencies:
        """Those of the whole run."""
        total = Latencies()
        for latencies, _ in self._per_second.values():
            total.merge(latencies)
        return total

    def seconds(self) -> list[Second]:
        """The run, second by second.

        Asked for again and again in a run, so only what is new is worked out.
        """
        for at_s, (latencies, numbers) in self._per_second.items():
            if at_s not in self._seconds:
                ms = percentiles_ms(latencies)
                requests, events, errors = numbers
                self._seconds[at_s] = Second(
                    at_s, requests, events, errors, ms["p50"], ms["p99"], ms["max"]
                )
        return [self._seconds[at_s] for at_s in sorted(self._seconds)]

    def add(self, snapshot: Snapshot) -> None:
        """Take in what a process has told."""
        before = self._latest.get(snapshot.process, Counts(refused={}, wrong={}))
        now = self._latest[snapshot.process] = snapshot.counts
        self.elapsed_s = max(self.elapsed_s, snapshot.elapsed_s)
        at_s = max(0, int(snapshot.elapsed_s - process.INTERVAL_S / 2))
        self._seconds.pop(at_s, None)
        latencies, numbers = self._per_second.setdefault(at_s, (Latencies(), [0, 0, 0]))
        latencies.add(snapshot.latencies)
        numbers[0] += now.accepted - before.accepted
        numbers[1] += now.events - before.events
        numbers[2] += _errors(now) - _errors(before)
        self.cpu_share[snapshot.process] = snapshot.cpu_s / max(0.001, snapshot.elapsed_s)
        if snapshot.last:
            self.made[snapshot.process] = snapshot.made
            self.acknowledged[snapshot.process] = Bits(snapshot.acknowledged)


def _errors(counts: Counts) -> int:
    return sum(counts.refused.values()) + counts.unknown + counts.connection_errors


def run(plan: Plan, on_progress: Callable[[Outcome], None]) -> Outcome:
    """Carry out a plan. Ctrl-C ends it early, with an outcome that says it is partial.

    on_progress: called several times a second; what it does takes time from what is measured.
    """
    context = multiprocessing.get_context("spawn")
    halt = context.Event()
    encoded = msgspec.json.encode(plan)
    start_s = time.perf_counter() + WARM_UP_S
    outcome = Outcome(plan)
    outcome.started_s = time.time() + WARM_UP_S
    children: list[Any] = []
    pipes: list[Pipe] = []
    for number in range(plan.processes):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(
            target=process.main, args=(encoded, number, start_s, theirs, halt), daemon=True
        )
        child.start()
        theirs.close()
        children.append(child)
        pipes.append(ours)
    while pipes:
        try:
            _collect(pipes, outcome)
            on_progress(outcome)
        except KeyboardInterrupt:
            outcome.partial = True
            halt.set()
    for child in children:
        child.join()
    return outcome


def _collect(pipes: list[Pipe], outcome: Outcome) -> None:
    """Take in what the processes have to tell; forgets those that have ended."""
    for ready in wait(pipes, timeout=process.INTERVAL_S):
        pipe = ready
        assert isinstance(pipe, Pipe)
        try:
            snapshot = msgspec.msgpack.decode(pipe.recv_bytes(), type=Snapshot)
        except EOFError:
            outcome.partial = True  # a process that ended without its last word
            pipes.remove(pipe)
            continue
        outcome.add(snapshot)
        if snapshot.last:
            pipes.remove(pipe)
