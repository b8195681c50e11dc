"""What commands print: JSON for programs, tables for people."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 250  # columns, where no terminal sets the width
stdout = Console(width=None if sys.stdout.isatty() else WIDE)
stderr = Console(stderr=True)


def print_json(content: object) -> None:
    """Indented JSON on standard output."""
    sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str) -> None:
    """A table; or the sentence `nothing` if there is no row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    if table.row_count:
        stdout.print(table)
    else:
        stdout.print(nothing)


def rfc_3339(time_ms: int | None) -> str | None:
    """Unix ms as text in UTC with milliseconds; None stays None."""
    if time_ms is None:
        return None
    text = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
