"""Latency at half the knee, in an open loop: what a producer sees of a gateway that is well sized.

The knee is the rate at which a closed loop of wrk saturates the gateway. The load at half of it
comes from `contox-ingest loadtest`: its requests fall due whether or not earlier ones are answered,
and count from when they fell due, so that a stall shows in full.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.load import Sender
from bench.machine import LOAD, on_core
from bench.peer_table import bodies
from bench.processes import BenchError
from bench.queue_server import Queue, queue
from bench.rounds import P50, P99, P999, RATE, Figures, Plan, interleaved, warmed
from bench.servers import Server, gateway
from bench.stalls import alone
from bench.tiers import TIERS
from cli.supervisor import script

SHARE = 0.5  # of the knee
LONGER = 3  # than a closed loop: of 4 s, the first 40 ms would be the p99
ALONE = "the machine alone"


def measure(plan: Plan, tiers: tuple[str, ...] = TIERS) -> dict[str, Any]:
    """A row per tier: its knee, and the latency at half of it. And one of what the machine adds."""
    with ExitStack() as stack:
        systems = {tier: stack.enter_context(system(tier)) for tier in tiers}
        loops = {
            tier: partial(warmed, server, own, bodies(), plan)
            for tier, (own, server) in systems.items()
        }
        knees = {tier: row[RATE] for tier, row in interleaved(loops, plan.rounds).items()}
        loops = {
            tier: partial(open_loop, server, own, knees[tier] * SHARE, plan.seconds * LONGER)
            for tier, (own, server) in systems.items()
        }
        rows = interleaved({**loops, ALONE: partial(alone, plan.seconds * LONGER)}, plan.rounds)
    found = {tier: {"knee/s": knees[tier], **rows[tier]} for tier in tiers}
    return {"title": "Open loop at half the knee", "rows": {**found, ALONE: rows[ALONE]}}


@contextmanager
def system(tier: str) -> Iterator[tuple[Queue, Server]]:
    """A queue that gives the tier, and a gateway that promises it."""
    with queue(durable=tier == "fsynced") as own, gateway(own, ack=tier) as server:
        yield own, server


def open_loop(server: Server, own: Queue, rate_s: float, seconds: int) -> Figures:
    """One run at a rate. Raises BenchError if anything was refused or not sent."""
    own.empty(server.stream)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "report.json"
        options = ["--rate", f"{rate_s:.1f}", "--duration", str(seconds)]
        options += ["--json", str(file), "--quiet"]
        command = [*script("loadtest"), *target(server.url, server.senders[0]), *options]
        done = subprocess.run(on_core(LOAD, *command), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the load test ended with {done.returncode}: {done.stderr[-300:]}")
        report = json.loads(file.read_text())
    counts, latency = report["counts"], report["latencyMs"]
    if counts["accepted"] != counts["offered"]:
        raise BenchError(f"{counts['accepted']} of {counts['offered']} were accepted")
    sender = max(report["senderCpu"].values())
    figures = {"offered/s": rate_s, P50: latency["p50"], P99: latency["p99"]}
    return {**figures, P999: latency["p99.9"], "sender CPU share": sender}


def target(url: str, sender: Sender) -> list[str]:
    """The options that aim a load test at a gateway."""
    return ["--url", url, "--project", sender.project, "--secret", sender.secret]
