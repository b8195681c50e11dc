"""Tables of a report."""

import pytest

from bench.report import bars_table, case_table, markdown, number

REPORT = {
    "machine": {"cpu": "Z80", "cores": 2, "system": "Linux", "commit": "abc",
        "load": 0.5, "python": "3.11",
                "queue": "Valkey 9", "wrk": "wrk 4 [epoll] by", "packages": {"fastify": "5"}},
    "command": "make bench",
    "rounds": 3,
    "seconds": 4,
    "tookS": 600.0,
    "bars": [{"name": "a", "bar": "≤ 1x", "figure": 2.0, "met": False}],
    "cases": {"peers": {"title": "Peers", "rows": {"ours": {"CPU": 15.0}}}},
    "failed": {"idle": "BenchError: no files"},
}  # fmt: skip


def test_markdown() -> None:
    """A report says where, how, what became of the bars, each case, and what failed."""
    text = markdown(REPORT)
    for part in (
        "Z80",
        "commit abc, load average 0.5",
        "wrk 4",
        "; fastify 5.",
        "`make bench`",
        "10 minutes",
        "### Peers",
    ):
        assert part in text
    assert "| a | ≤ 1x | 2 | **missed** |" in text
    assert "The case `idle` failed to run: BenchError: no files" in text


def test_missing_peer() -> None:
    """A missing peer has a row that says why."""
    case = {"rows": {"ours": {"x": 1.0, "y": 2.0}}, "missing": {"Go": "no go"}}
    assert case_table(case).splitlines()[-1] == "| Go | missing: no go |  |"


def test_not_measured() -> None:
    """A bar without a figure is not measured."""
    bar = {"name": "a", "bar": "≤ 1x", "figure": None, "met": None}
    assert bars_table([bar]).splitlines()[-1] == "| a | ≤ 1x |  | not measured |"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.456, "0.46"),
        (4.56, "4.56"),
        (45.67, "45.7"),
        (456.7, "457"),
        (12345.6, "12,346"),
        (3, "3"),
    ],
)
def test_number(value: float, text: str) -> None:
    """Three digits that count, or all before the point."""
    assert number(value) == text
