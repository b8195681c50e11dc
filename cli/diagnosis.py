"""How the doctor's findings are shown to a person: grouped, then what to change, ready to paste."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from cli import output
from cli.findings import Finding, Status
from cli.output import ON_ONE_LINE

MARKS = {
    Status.HOLDS: ("ok", "green"),
    Status.WARNING: ("warn", "yellow"),
    Status.BROKEN: ("FAIL", "bold red"),
    Status.UNCHECKED: ("-", "dim"),
}
PROMISE_WIDTH = 40
NARROW = 100  # columns; below, promises take less


def print_findings(findings: Sequence[Finding], prepare: str = "") -> None:
    """A table for each group, what to change, and a summary.

    prepare: what to run before a command that names CONTOX_REDIS_URL; empty: nothing.
    """
    for group in dict.fromkeys(finding.group for finding in findings):
        output.stdout.print(Text(group, style="bold"))
        output.stdout.print(_table([f for f in findings if f.group == group]))
    _print_changes([finding for finding in findings if finding.change], prepare)
    output.stdout.print(_summary(findings))


def _table(findings: Sequence[Finding]) -> Table:
    width = PROMISE_WIDTH if output.stdout.width >= NARROW else PROMISE_WIDTH * 7 // 10
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(width=4, no_wrap=True)
    table.add_column(width=width)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = MARKS[finding.status]
        promise, found = (_line(text) for text in (finding.promise, finding.found))
        table.add_row(Text(mark, style=style), Text(promise), Text(found))
    return table


def _print_changes(findings: Sequence[Finding], prepare: str) -> None:
    """Numbered; a sentence wraps, a command does not, so that it can be pasted."""
    if not findings:
        output.stdout.print()
        return
    output.stdout.print(Text("\nWhat to change", style="bold"))
    if prepare and any("CONTOX_REDIS_URL" in finding.command for finding in findings):
        output.stdout.print("      First, so that the commands below reach the queue:")
        output.stdout.print(Text(f"          {prepare}", style="cyan"), soft_wrap=True)
    for number, finding in enumerate(_worst_first(findings), 1):
        mark, style = MARKS[finding.status]
        row = Table(box=None, show_header=False, pad_edge=False)
        row.add_column(width=4, justify="right", no_wrap=True)
        row.add_column(width=4, no_wrap=True)
        row.add_column(overflow="fold")
        text = _line(finding.change)
        row.add_row(f"{number}.", Text(mark, style=style), Text(f"{finding.promise}: {text}"))
        output.stdout.print(row)
        if finding.command:
            command = Text(f"          {_line(finding.command)}", style="cyan")
            output.stdout.print(command, soft_wrap=True)
    output.stdout.print()


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    order = [Status.BROKEN, Status.WARNING, Status.UNCHECKED]
    return sorted(findings, key=lambda finding: order.index(finding.status))


def _summary(findings: Sequence[Finding]) -> Text:
    counts = {status: sum(f.status is status for f in findings) for status in Status}
    told = f"{counts[Status.HOLDS]} hold, {counts[Status.WARNING]} to look at,"
    told += f" {counts[Status.BROKEN]} broken, {counts[Status.UNCHECKED]} not checked."
    return Text(told, style="bold red" if counts[Status.BROKEN] else "bold")


def _line(text: str) -> str:
    """Text as one line that no terminal obeys: dead letters quote what strangers sent."""
    return text.translate(ON_ONE_LINE)
