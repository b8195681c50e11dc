"""The benchmark of the drain, tiny: it runs, and proves that it has stored what it says."""

import pytest

from bench import drain
from bench.drain import STAGES, body, entry, measure, medians, once, row
from bench.rounds import Plan
from core.codec import BODY, HEADER, decode, encode_header, explode


@pytest.mark.parametrize("per_entry", [1, 10])
def test_sqlite(per_entry: int) -> None:
    """A small backlog is stored as a whole, and each stage has taken its time."""
    found = once("sqlite", 2_000, per_entry)
    assert found["events"] == 2_000
    assert all(found[f"{stage}_us"] > 0 for stage in STAGES)


@pytest.mark.xdist_group("postgres")
def test_postgresql() -> None:
    """The same with PostgreSQL, on two partitions."""
    assert once("postgresql", 2_000, 10, partitions=2)["events"] == 2_000


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make bench` gets a row for each case, named as the bars name it."""
    monkeypatch.setattr(drain, "CASES", [("sqlite", 100)])
    table = measure(Plan(1, 1), 2_000)
    assert list(table["rows"]) == [row("sqlite", 100)]
    assert table["rows"][row("sqlite", 100)][drain.RATE] >= 0


def test_entries_are_those_of_a_gateway() -> None:
    """A worker reads the entries; an event alone has 774 bytes, and no two have one id."""
    assert len(body(7, 1)) == 774
    made = entry(20, 10, "proj_1")
    rows = explode(decode({HEADER: encode_header(made), BODY: made.body}))
    assert len({row.event_id for row in rows}) == 10


def test_medians() -> None:
    """Each figure's median stands for the rounds."""
    assert medians([{"x": 1}, {"x": 5}, {"x": 2}]) == {"x": 2}
