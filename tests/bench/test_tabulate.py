"""Tables of benchmarks that have a shape of their own."""

from typing import Any

from bench.tabulate import measured


def test_flat() -> None:
    """Numbers at the top are one row; text is none."""
    table = measured("Start", lambda: {"ms": 12, "commit": "abc", "warm": True})
    assert table == {"title": "Start", "rows": {"": {"ms": 12.0}}}


def test_parts() -> None:
    """Each part that has numbers is a row."""
    found: dict[str, Any] = {"sqlite": {"events/s": 3}, "machine": {"cpu": "Z80"}, "rounds": 2}
    rows = measured("Drain", lambda: found)["rows"]
    assert rows == {"sqlite": {"events/s": 3.0}, "": {"rounds": 2.0}}


def test_async() -> None:
    """A `measure` may be a coroutine."""

    async def measure() -> dict[str, Any]:
        return {"ms": 1}

    assert measured("Start", measure)["rows"] == {"": {"ms": 1.0}}


def test_table() -> None:
    """A result that is a table stays as it is, with its own title."""
    table = {"title": "Mine", "rows": {"a": {"x": 1.0}}, "missing": {"b": "not here"}}
    assert measured("Drain", lambda: table) == table
