"""Fairness, for a second."""

import pytest

from bench.fairness import CASES, measure, medians


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quiet project alone is refused nothing."""
    monkeypatch.setenv("CONTOX_QUOTA_EVENTS_S", "0")
    figures = measure(CASES[0], 0.5)
    assert figures["refused"] == 0
    assert 0 < figures["p50 ms"] <= figures["p99 ms"]


def test_medians() -> None:
    """Each figure's median counts on its own."""
    assert medians([{"a": 1, "b": 9}, {"a": 3, "b": 8}, {"a": 2, "b": 7}]) == {"a": 2, "b": 8}
