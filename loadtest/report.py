"""A run's report as data: all that is needed to read it later, and to compare it with another."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from loadtest.measure import percentiles_ms
from loadtest.run import Outcome
from loadtest.verify import Verdict

FORMAT = 1
CURVE = (0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.95, 99.99, 100)


class Trial(msgspec.Struct):
    """One step of a sweep."""

    rate_s: float
    accepted_s: float
    p99_ms: float
    errors: int
    good: bool  # under the limit, nothing refused


def build(
    outcome: Outcome,
    *,
    verdict: Verdict | None = None,
    trials: list[Trial] | None = None,
    kills: list[str] | None = None,
) -> dict[str, Any]:
    """The report of a run. The project's secret is not in it."""
    counts = outcome.counts
    duration_s = max(0.001, min(outcome.elapsed_s, outcome.plan.duration_s))
    plan = msgspec.to_builtins(outcome.plan)
    plan["secret"] = "***"  # noqa: S105 - the point is not to show it
    return {
        "format": FORMAT,
        "partial": outcome.partial,
        "loop": "closed" if outcome.plan.rate_s is None else "open",
        "plan": plan,
        "startedAt": datetime.fromtimestamp(outcome.started_s, UTC).isoformat(timespec="seconds"),
        "durationS": round(duration_s, 3),
        "environment": environment(),
        "counts": msgspec.to_builtins(counts),
        "requestsPerS": round(counts.accepted / duration_s, 1),
        "eventsPerS": round(counts.events / duration_s, 1),
        "bytesPerS": round(counts.sent_bytes / duration_s),
        "latencyMs": percentiles_ms(outcome.latencies),
        "curve": curve(outcome),
        "seconds": [msgspec.to_builtins(second) for second in outcome.seconds()],
        "senderCpu": {str(p): round(share, 3) for p, share in outcome.cpu_share.items()},
        "warnings": warnings(outcome),
        "verify": msgspec.to_builtins(verdict) | {"holds": verdict.holds} if verdict else None,
        "sweep": [msgspec.to_builtins(trial) for trial in trials or []],
        "kills": kills or [],
    }


def curve(outcome: Outcome) -> list[tuple[float, float]]:
    """(percentile, latency in ms) at the percentiles that are drawn."""
    latencies = outcome.latencies
    return list(zip(CURVE, latencies.at_ms(CURVE), strict=True)) if len(latencies) else []


def warnings(outcome: Outcome) -> list[str]:
    """What a reader of the figures must know."""
    found = []
    if outcome.partial:
        found.append("The run ended early: this report is partial.")
    if outcome.plan.rate_s is None:
        found.append("Closed loop (--max): a stall of the target delays requests unseen.")
    if outcome.saturated:
        found.append(
            "A sender used about a whole core: it, not the target, may be the limit;"
            " add --processes, or run it on another machine."
        )
    if outcome.counts.skipped:
        found.append(f"{outcome.counts.skipped:,} requests fell due and were never sent.")
    return found


def environment() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "version": version("contox-ingest"),
        "commit": commit(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str | None:
    """The commit of the source tree that runs, if it is one."""
    tree = Path(__file__).parent
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"],  # noqa: S607
            capture_output=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip()


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(figure, old, new, change) of two reports' figures."""
    counts = ("accepted", "retried", "connection_errors", "unknown", "unanswered")
    return [
        _row("requests/s", old["requestsPerS"], new["requestsPerS"]),
        _row("events/s", old["eventsPerS"], new["eventsPerS"]),
        *(_row(f"{n} ms", old["latencyMs"][n], new["latencyMs"][n]) for n in old["latencyMs"]),
        *(_row(name, old["counts"][name], new["counts"][name]) for name in counts),
    ]


def _row(name: str, old: float, new: float) -> tuple[str, str, str, str]:
    change = f"{(new - old) / old:+.1%}" if old else ""
    return name, f"{old:,}", f"{new:,}", change
