"""What a run found, as tables of Markdown; the same report is kept as JSON.

report := {"machine": …, "command", "rounds", "seconds", "tookS", "bars": […],
           "cases": {name: {"title", "rows": {row: {figure: number}}, "missing": {row: why}}},
           "failed": {name: why}}
"""

from collections.abc import Iterable, Mapping
from typing import Any

LABELS = {"wrk": "", "node": "Node.js ", "go": "", "nginx": ""}
MET = {True: "met", False: "**missed**", None: "not measured"}


def markdown(report: Mapping[str, Any]) -> str:
    """All of a report: where and how, the bars, a table per case."""
    parts = [_head(report), bars_table(report["bars"])]
    for case in report["cases"].values():
        parts += [f"### {case['title']}", case_table(case)]
    for name, why in report["failed"].items():
        parts.append(f"The case `{name}` failed to run: {why}")
    return "\n\n".join(parts) + "\n"


def bars_table(bars: Iterable[Mapping[str, Any]]) -> str:
    """The bars and what became of them."""
    rows = [
        (
            bar["name"],
            bar["bar"],
            "" if bar["figure"] is None else number(bar["figure"]),
            MET[bar["met"]],
        )
        for bar in bars
    ]
    return table(("figure", "bar", "measured", ""), rows)


def case_table(case: Mapping[str, Any]) -> str:
    """A case's rows, and below them what was missing."""
    columns = list(dict.fromkeys(name for row in case["rows"].values() for name in row))
    rows = [
        (name, *(number(row[column]) if column in row else "" for column in columns))
        for name, row in case["rows"].items()
    ]
    missing = [
        (name, f"missing: {why}", *[""] * (len(columns) - 1))
        for name, why in case.get("missing", {}).items()
    ]
    return table(("", *columns), [*rows, *missing])


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown; all columns but the first are to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def number(value: float) -> str:
    """A figure with three digits that count, or all of those before the point."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _head(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    where = f"{machine['cores']} cores ({machine['cpu']}), {machine['system']}"
    versions = [f"Python {machine['python']}", machine["queue"]]
    versions += [f"{label}{machine[name]}" for name, label in LABELS.items() if name in machine]
    versions += [" ".join(item) for item in machine["packages"].items()]
    short = [version.split(" [")[0].split(" sha=")[0] for version in versions]
    return (
        f"{where}; commit {machine['commit']},"
        f" load average {machine['load']:g} before it began. {'; '.join(short)}.\n\n"
        f"`{report['command']}`: medians of {report['rounds']} interleaved rounds of"
        f" {report['seconds']} s; the whole took {report['tookS'] / 60:.0f} minutes."
    )
