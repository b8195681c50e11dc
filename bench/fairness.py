"""What a flooding project does to a quiet one's latency: alone, beside a flood, beside one under a
quota.

The quiet project sends at a fixed rate (open loop, so that waiting counts), the flooder as fast as
its answers come. Each case has a stack of its own, rounds are interleaved, medians printed. All of
it shares this machine's cores, the senders too: compare the cases, not the figures with others'.
Usage: bench/fairness.py [ROUNDS] [SECONDS].
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from cli.supervisor import script
from cli.throwaway import Throwaway, throwaway
from loadtest.report import commit, processor

QUIET_RATE_S = 200
FLOOD_CONNECTIONS = 64
QUOTA_EVENTS_S = 500
WARM_S = 3.0  # of flood, before the quiet project is measured, and after
Figures = dict[str, float]


class Case(NamedTuple):
    """What is beside the quiet project."""

    name: str
    flood: bool
    quota_events_s: int  # 0: none


CASES = (
    Case("alone", flood=False, quota_events_s=0),
    Case("flood", flood=True, quota_events_s=0),
    Case("flood under quota", flood=True, quota_events_s=QUOTA_EVENTS_S),
)


def load(stack: Throwaway, project: str, secret: str, *options: str, to: str) -> list[str]:
    """The command of a load test that writes its report."""
    target = ["--url", stack.url, "--project", project, "--secret", secret]
    return [*script("loadtest"), *target, *options, "--json", to]


@contextmanager
def flooding(stack: Throwaway, seconds: float, to: str) -> Iterator[None]:
    """A second project that sends as fast as it is answered, before and beside what is measured."""
    command = [*script("project"), "create", "flooder", "--json"]
    made = json.loads(subprocess.check_output(command, env={**os.environ, **stack.environ()}))
    options = ["--max", "--connections", str(FLOOD_CONNECTIONS)]
    options += ["--duration", str(seconds + 2 * WARM_S)]
    command = load(stack, made["projectId"], made["hmacSecret"], *options, to=to)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(WARM_S)
    yield
    process.wait(seconds + 60)


def measure(case: Case, seconds: float) -> Figures:
    """One round of one case, on a fresh stack."""
    os.environ["CONTOX_QUOTA_EVENTS_S"] = str(case.quota_events_s)
    with throwaway() as stack, tempfile.TemporaryDirectory() as directory:
        quiet, flood = Path(directory) / "quiet.json", Path(directory) / "flood.json"
        options = ["--rate", str(QUIET_RATE_S), "--duration", str(seconds)]
        command = load(stack, stack.project, stack.secret, *options, to=str(quiet))
        with flooding(stack, seconds, str(flood)) if case.flood else nullcontext():
            subprocess.run(command, check=True, capture_output=True)
        report = json.loads(quiet.read_text())
        figures = {f"{name} ms": report["latencyMs"][name] for name in ("p50", "p99", "max")}
        figures["refused"] = sum(report["counts"]["refused"].values())
        if case.flood:
            report = json.loads(flood.read_text())
            refused = sum(report["counts"]["refused"].values())
            figures["flood 202/s"] = report["requestsPerS"]
            figures["flood 429/s"] = round(refused / report["durationS"], 1)
        return figures


def medians(rounds: list[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def main() -> None:
    """Run the rounds, print a table and then the same as JSON."""
    rounds, seconds = (int(x) for x in (*sys.argv[1:], "3", "10")[:2])
    found: dict[str, list[Figures]] = {case.name: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            found[case.name].append(measure(case, seconds))
    result = {name: medians(figures) for name, figures in found.items()}
    sys.stdout.write(f"{processor()}, commit {commit()}, medians of {rounds} x {seconds} s;")
    sys.stdout.write(f" quiet project at {QUIET_RATE_S}/s, quota {QUOTA_EVENTS_S}/s\n")
    for name, figures in result.items():
        shown = "  ".join(f"{figure} {value:,.1f}" for figure, value in figures.items())
        sys.stdout.write(f"{name:<18} {shown}\n")
    sys.stdout.write(json.dumps({"commit": commit(), "rounds": rounds, "medians": result}) + "\n")


if __name__ == "__main__":
    main()
