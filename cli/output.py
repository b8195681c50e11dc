"""What commands print: JSON for programs, tables for people."""

import sys
from collections.abc import Iterable, Sequence

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 250  # columns, where no terminal sets the width
CONTROL = (*range(0x20), *range(0x7F, 0xA0))  # C1 too: a terminal may obey it
ON_ONE_LINE = dict.fromkeys(CONTROL, " ")
stdout = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
stderr = Console(stderr=True, highlight=False)


def print_json(content: object) -> None:
    """Indented JSON on standard output."""
    sys.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, nothing: str) -> None:
    """A table; or the sentence `nothing` if there is no row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[cell.translate(ON_ONE_LINE) for cell in row] for row in rows]
    *first, last = range(len(columns))
    for n in first:
        width = max([cell_len(row[n]) for row in cells], default=0)
        table.add_column(columns[n], no_wrap=True, min_width=width)
    table.add_column(columns[last], no_wrap=True)  # it alone is cut where the terminal is narrow
    for row in cells:
        table.add_row(*map(Text, row))
    if table.row_count:
        stdout.print(table)
    else:
        stdout.print(nothing)
