"""Findings as a person sees them, in wide and narrow terminals."""

import pytest
from rich.console import Console

from cli import output
from cli.diagnosis import print_findings
from cli.findings import Finding, Status

FOUND = [
    Finding("queue", "The queue can be reached", Status.HOLDS, "redis://h:1/0", "", ""),
    Finding("queue", "It is warm", Status.WARNING, "12 degrees", "Heat it.", "heat --now"),
    Finding("store", "It is there", Status.BROKEN, "no\n\x1b[31m[bold]", "Put it there.", ""),
    Finding("store", "It is red", Status.UNCHECKED, "the store cannot be reached", "", ""),
]


def shown(capsys: pytest.CaptureFixture[str], findings: list[Finding], prepare: str = "") -> str:
    """What is printed, without the spaces at the ends of lines."""
    print_findings(findings, prepare)
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Marks, promises and what was found stand in columns, below their group; then the changes."""
    assert shown(capsys, FOUND) == (
        "queue\n"
        "ok    The queue can be reached                  redis://h:1/0\n"
        "warn  It is warm                                12 degrees\n"
        "store\n"
        "FAIL  It is there                               no  [31m[bold]\n"
        "-     It is red                                 the store cannot be reached\n"
        "\n"
        "What to change\n"
        "  1.  FAIL  It is there: Put it there.\n"
        "  2.  warn  It is warm: Heat it.\n"
        "          heat --now\n"
        "\n"
        "1 hold, 1 to look at, 1 broken, 1 not checked."
    )


def test_nothing_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    """Where all holds there is nothing to change."""
    told = shown(capsys, FOUND[:1])
    assert "What to change" not in told
    assert told.endswith("\n\n1 hold, 0 to look at, 0 broken, 0 not checked.")


def test_narrow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On 60 columns text wraps within its column; a command is one line to paste."""
    monkeypatch.setattr(output, "stdout", Console(width=60, highlight=False))
    command = "redis-cli -u redis://a.long.name.of.a.host:6379/0 CONFIG SET appendonly yes"
    long = FOUND[1]._replace(found="found " * 20, change="change it " * 20, command=command)
    told = shown(capsys, [long])
    lines = told.splitlines()
    assert max(len(line) for line in lines if command not in line) <= 60
    assert f"          {command}" in lines
    assert lines[2].startswith(" " * 36 + "found")


def test_prepare(capsys: pytest.CaptureFixture[str]) -> None:
    """What sets CONTOX_REDIS_URL is shown before commands that name it, and only then."""
    assert "export X" not in shown(capsys, FOUND, "export X")
    finding = FOUND[1]._replace(command='redis-cli -u "$CONTOX_REDIS_URL" PING')
    lines = shown(capsys, [finding], "export X").splitlines()
    at = lines.index("          export X")
    assert lines[at - 1] == "      First, so that the commands below reach the queue:"
