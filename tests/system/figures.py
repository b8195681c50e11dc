"""The figures of a run of the fault suite, as Markdown for docs/DURABILITY.md."""

import os
import platform
import subprocess
from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """The tables of a run: what it came to, each fault, each scenario."""
    campaigns = [part for part in result["parts"] if part["rows"]]
    others = [part for part in result["parts"] if not part["rows"]]
    lines = [
        f"Seed {result['seed']}, {result['seconds']} s in all, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, commit {commit()}.",
        "",
        *totals(campaigns),
        "",
        *by_kind(campaigns),
        "",
        "| scenario | holds | figures |",
        "|---|---|---|",
        *(f"| {p['name']} | {holds(p)} | {listed(p['figures'])} |" for p in others),
        "",
        "Every fault, in the order in which they struck:",
        "",
        "| campaign | fault | at, s | lasted, s | recovery, s |",
        "|---|---|---|---|---|",
        *(one(part["name"], row) for part in campaigns for row in part["rows"]),
    ]
    return "\n".join(lines) + "\n"


def totals(campaigns: list[dict[str, Any]]) -> list[str]:
    """A row for each campaign."""
    lines = ["| campaign | faults | acknowledged | lost | duplicated | altered |", "|" + "---|" * 6]
    for part in campaigns:
        proof = part["figures"].get("verify", {})
        names = ("acknowledged", "lost", "duplicated", "altered")
        cells = " | ".join(f"{proof[name]:,}" if proof else "?" for name in names)
        lines.append(f"| {part['name']} | {len(part['rows'])} | {cells} |")
    return lines


def by_kind(campaigns: list[dict[str, Any]]) -> list[str]:
    """A row for each kind of fault: how often, how long, and the longest recovery."""
    lines = ["| fault | times | lasted at most, s | longest recovery, s |", "|---|---|---|---|"]
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in campaigns:
        for row in part["rows"]:
            rows.setdefault(row["fault"], []).append(row)
    for name, found in rows.items():
        longest = max(row["recovery_s"] for row in found)
        flag = " (too long or not as it should be)" if any(row["wrong"] for row in found) else ""
        lasted = max(map(lasted_s, found))
        lines.append(f"| {name} | {len(found)} | {lasted:.1f} | {longest:.2f}{flag} |")
    return lines


def lasted_s(row: dict[str, Any]) -> float:
    """From a fault's injection until it was healed; 0 for those that are over at once."""
    return float(row["lasted_s"]) if row["duration_s"] else 0.0


def one(campaign: str, row: dict[str, Any]) -> str:
    """A row for one fault."""
    cells = (campaign, row["fault"], row["at_s"], f"{lasted_s(row):.1f}", row["recovery_s"])
    return f"| {' | '.join(map(str, cells))} |"


def holds(part: dict[str, Any]) -> str:
    """Whether a scenario's facts hold, or which do not."""
    return "; ".join(part["wrong"]) or "yes"


def listed(figures: dict[str, Any]) -> str:
    """Figures as text."""
    return ", ".join(f"{name} {value:,}" for name, value in figures.items())


def commit() -> str:
    """The commit that runs."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
