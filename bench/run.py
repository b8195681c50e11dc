"""All of the benchmark in one run: the cases one after another, then tables, JSON and the bars.

Exit status 0 whether or not the bars are met; 1 if a case failed to run.
"""

import argparse
import importlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.bars import judge
from bench.lineup import packages
from bench.machine import describe
from bench.queue_server import version
from bench.report import markdown
from bench.rounds import Plan
from bench.tabulate import measured

# Name of a case: the module whose `measure` makes its table from a Plan; see bench/report.py.
CASES = {
    "peers": "bench.peer_table",
    "stages": "bench.stages",
    "batches": "bench.batches",
    "tiers": "bench.tiers",
    "latency": "bench.latency",
    "growth": "bench.growth",
    "idle": "bench.idle",
    "drain": "bench.drain",
    "startup": "bench.startup",
    "micro": "bench.micro",
}
# A benchmark in its own right, which has rounds and sizes of its own.
THEIR_OWN = {
    "bench.startup": "From the start of the process to the first 202, warm",
}
BUILD = Path(__file__).parent.parent / "build"


def main() -> int:
    """Measure, print, write build/bench.json and build/bench.md."""
    options = parse(sys.argv[1:])
    for name in [name for name in os.environ if name.startswith("CONTOX_")]:
        del os.environ[name]  # what is measured has its defaults
    names = options.only or [name for name, module in CASES.items() if find_spec(module)]
    report = measure_all(names, Plan(options.rounds, options.seconds))
    BUILD.mkdir(exist_ok=True)
    text = markdown(report)
    (BUILD / "bench.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    (BUILD / "bench.md").write_text(text)
    sys.stdout.write(text)
    return 1 if report["failed"] else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure this project and its peers."
    )
    parser.add_argument("--only", action="append", choices=CASES, help="a case; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of each case")
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round of a server")
    return parser.parse_args(arguments)


def measure_all(names: Sequence[str], plan: Plan) -> dict[str, Any]:
    """The report of a run of these cases."""
    started_s = time.monotonic()
    machine = {**describe(version()), "packages": packages()}
    cases: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in names:
        sys.stderr.write(f"{time.monotonic() - started_s:6.0f} s  {name}\n")
        try:
            cases[name] = case(CASES[name])(plan)
        except Exception as error:  # noqa: BLE001 - the other cases are worth having
            failed[name] = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"          {failed[name]}\n")
    return {
        "machine": machine,
        "command": shlex.join(["make", "bench", *_arguments()]),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "tookS": round(time.monotonic() - started_s, 1),
        "bars": judge(cases),
        "cases": cases,
        "failed": failed,
    }


def case(module: str) -> Callable[[Plan], dict[str, Any]]:
    """The `measure` of a case's module."""
    measure = importlib.import_module(module).measure
    if title := THEIR_OWN.get(module):
        return lambda _plan: measured(title, measure)
    found: Callable[[Plan], dict[str, Any]] = measure
    return found


def _arguments() -> list[str]:
    arguments = shlex.join(sys.argv[1:])
    return [f"ARGS={arguments}"] if arguments else []


if __name__ == "__main__":
    sys.exit(main())
