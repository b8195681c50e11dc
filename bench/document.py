"""Puts a run's tables into docs/PERFORMANCE.md, between two markers; all else there stays.

Usage: document.py [REPORT]; REPORT is build/bench.json by default.
"""

import json
import sys
from pathlib import Path

from bench.report import markdown

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def with_figures(page: str, figures: str) -> str:
    """The page with these figures between its markers. Raises ValueError if it has no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} followed by {END}")
    return f"{before}{begin}\n{figures.strip()}\n{end}{after}"


def main() -> None:
    """Rewrite the page."""
    report = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/bench.json"
    figures = markdown(json.loads(report.read_text()))
    PAGE.write_text(with_figures(PAGE.read_text(), figures))


if __name__ == "__main__":
    main()
