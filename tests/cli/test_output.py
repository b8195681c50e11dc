"""What is printed, read back from standard output."""

import json

import pytest
from rich.console import Console

from cli import output
from cli.output import print_json, print_table

LONG = "proj_" + "0" * 200


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is indented, ends with a newline, and nothing in it is wrapped or interpreted."""
    content = {"a": [f"[bold]{LONG}[/bold]", "ü"]}
    print_json(content)
    out = capsys.readouterr().out
    assert json.loads(out) == content
    assert out == json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A table's cells are shown as they are, unwrapped, below their columns' names."""
    print_table(("id", "payload"), [(LONG, "[red]x[/red]"), ("b", ":smile:")], nothing="None.")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["id", "payload"]
    assert second.split() == [LONG, "[red]x[/red]"]
    assert third.split() == ["b", ":smile:"]
    assert first.index("payload") == second.index("[red]") == third.index(":smile:")


def test_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of a table without rows a sentence is shown."""
    print_table(("id",), [], nothing="There is none.")
    assert capsys.readouterr().out == "There is none.\n"


def test_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a table does not fit, its last column alone is cut."""
    monkeypatch.setattr(output, "stdout", Console(width=40))
    print_table(("id", "payload"), [("x" * 30, "y" * 30)], nothing="")
    assert capsys.readouterr().out.splitlines()[1] == "x" * 30 + "  " + "y" * 8


def test_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A row is one line that no terminal obeys, whatever is in its cells."""
    print_table(("payload",), [('{\n\t"a": "\u009b31m\u007f"\r\n}',)], nothing="")
    assert capsys.readouterr().out.splitlines()[1:] == ['{  "a": " 31m "  }']
