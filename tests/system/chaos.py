"""The fault suite as a command: `python -m tests.system.chaos`.

    parts   network  faults of processes, the network, PostgreSQL and clients, under load
            disks    faults of a queue, a spool and a store on small disks
            outage, rolling, emptied, deleted, memory, fsynced, losses   scenarios.py

Each part runs in a process of its own (`disks` in a mount namespace of its own, too), which writes
its result as JSON. Everything is bounded, on the loopback, and ends by itself.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.system import kinds, scenarios
from tests.system.campaign import Course, Part, campaign
from tests.system.disk import in_own_mounts
from tests.system.figures import markdown

ROOT = Path(__file__).parent.parent.parent
SEED = 7
PART_S = {"short": 150, "long": 600}
FAULTS_MIN, EVENTS_MIN = 50, 1_000_000  # that the long form is to show
END_S = 60  # for a part that is asked to end
MANY = ("--profile", "mixed", "--connections", "16", "--rate")
COURSES = {
    "network": (kinds.NETWORK, kinds.ON_NETWORK, 330.0),
    "disks": (kinds.DISKS, kinds.ON_DISKS, 100.0),
}
PARTS = (*COURSES, *scenarios.ALL)
SHORT = ("network", "disks", "losses", "outage")
LONG = ("network", "disks", "outage", "rolling", "emptied", "deleted", "memory", "fsynced")


def tell(text: str) -> None:
    """Print a line of progress."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_part(name: str, *, long: bool, seed: int) -> Part:
    """Run a part in this process."""
    if name not in COURSES:
        return scenarios.scenario(name, scenarios.ALL[name], tell, long=long)
    wanted, faults, at_least_s = COURSES[name]
    load = (*MANY, "220") if long else (*MANY, "100", "--batch-size", "20")
    course = Course(
        name=name,
        wanted=wanted,
        faults=faults,
        load=load,
        long=long,
        seed=seed,
        gap_s=1.0 if long else 0.2,
        at_least_s=at_least_s if long else 0.0,
    )
    return campaign(course, tell)


def part_command(name: str, form: str, seed: int, result: Path) -> list[str]:
    """The command that runs one part, in the root of the project."""
    options = ["--form", form, "--seed", str(seed), "--only", name, "--json", str(result)]
    command = [sys.executable, "-m", "tests.system.chaos", *options]
    return in_own_mounts(command) if name == "disks" else command


def run_all(form: str, seed: int) -> list[dict[str, Any]]:
    """Run every part, each in a process of its own, and return their results."""
    results = []
    with tempfile.TemporaryDirectory() as directory:
        for name in LONG if form == "long" else SHORT:
            tell(f"== {name}")
            file = Path(directory) / f"{name}.json"
            command = part_command(name, form, seed, file)
            status = run_bounded(command, PART_S[form])
            if file.exists():
                results.append(json.loads(file.read_bytes()))
            else:
                why = f"the part ended with status {status} and no result"
                results.append({**Part(name).as_json(), "wrong": [why]})
    return results


def too_little(parts: list[dict[str, Any]]) -> list[str]:
    """What a long run has not shown, since it was too small."""
    campaigns = [part for part in parts if part["name"] in COURSES]
    faults = sum(len(part["rows"]) for part in campaigns)
    events = sum(part["figures"]["verify"]["acknowledged"] for part in campaigns if part["figures"])
    few = [f"{faults} faults, not {FAULTS_MIN}"] if faults < FAULTS_MIN else []
    return few + ([f"{events:,} events, not {EVENTS_MIN:,}"] if events < EVENTS_MIN else [])


def run_bounded(command: list[str], timeout_s: float, output: Any = None) -> int:
    """Run a part for a bounded time, then ask it to clean up and end; returns its status."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return -1
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> int:
    """Run what the options name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("--form", choices=("short", "long"), default="long")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # clean up on the way out
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and
    # so would the load, which is ended by it
    begun_s = time.monotonic()
    if options.only:
        part = run_part(options.only, long=options.form == "long", seed=options.seed)
        result: Any = part.as_json()
        wrong = result["wrong"]
    else:
        parts = run_all(options.form, options.seed)
        seconds = round(time.monotonic() - begun_s)
        result = {"form": options.form, "seed": options.seed, "seconds": seconds, "parts": parts}
        wrong = [f"{part['name']}: {why}" for part in parts for why in part["wrong"]]
        if options.form == "long":
            wrong += too_little(parts)
        tell(text := markdown(result))
        if options.markdown:
            options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    for why in wrong:
        tell(f"WRONG  {why}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
