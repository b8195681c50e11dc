"""Figures written down, read back and summed."""

import msgspec
import pytest

from core.figures import from_bytes, to_bytes, total
from core.metrics import Figures, Meter, Metric


def meter(
    accepted: int = 0, connected: int = 1, backlog: int = 0, connections: int = 0, took_s: float = 0
) -> Meter:
    """A gateway's figures."""
    made = Meter("gateway")
    made.add(Metric.REQUESTS, accepted, "202", "accepted")
    made.set(Metric.QUEUE_CONNECTED, connected)
    made.set(Metric.BACKLOG_ENTRIES, backlog)
    made.set(Metric.CONNECTIONS, connections)
    made.observe(Metric.ADMISSION_SECONDS, took_s)
    return made


def shown(figures: Figures) -> dict[str, list[tuple[object, ...]]]:
    """All series, by metric."""
    return {m.name: [tuple(s) for s in figures.samples(m)] for m in figures.metrics()}


def value(figures: Figures, metric: Metric) -> float:
    """The one value of a metric."""
    (sample,) = figures.samples(metric)
    return sample.value


def test_round_trip() -> None:
    """What is written down is read back: every series, and metrics without one."""
    written = meter(accepted=3, backlog=2**40, took_s=0.003)
    assert shown(from_bytes("gateway", to_bytes(written))) == shown(written)
    assert shown(from_bytes("gateway", b"")) == {m.name: [] for m in written.metrics()}


def test_truth() -> None:
    """A gauge that was set to a truth is a number."""
    written = Meter("gateway")
    written.set(Metric.BACKLOG_FULL, True)
    assert value(from_bytes("gateway", to_bytes(written)), Metric.BACKLOG_FULL) == 1


@pytest.mark.parametrize("data", [b"\xff", b"\x93", b"\x91\x94\xa4NONE\x90\x00\x90"])
def test_not_figures(data: bytes) -> None:
    """Anything else is an error of the reader's caller."""
    with pytest.raises((ValueError, KeyError, msgspec.DecodeError)):
        from_bytes("gateway", data)


def test_total() -> None:
    """Counters and histograms are summed; a gauge is the sum, the most or the least of all."""
    parts = (meter(3, 1, 70, 5, took_s=0.003), meter(4, 0, 71, 6, took_s=9.0))
    summed = total("gateway", parts)
    assert value(summed, Metric.REQUESTS) == 7
    assert value(summed, Metric.CONNECTIONS) == 11
    assert value(summed, Metric.BACKLOG_ENTRIES) == 71
    assert value(summed, Metric.QUEUE_CONNECTED) == 0
    (admission,) = summed.samples(Metric.ADMISSION_SECONDS)
    assert admission.value == pytest.approx(9.003)
    assert sum(admission.buckets) == 2
    assert admission.buckets[-1] == 1


def test_total_by_label() -> None:
    """Series are summed label by label; one that a single part has is kept."""
    first, second = Meter("gateway"), Meter("gateway")
    first.add(Metric.REQUESTS, 1, "202", "accepted")
    for each in (first, second):
        each.add(Metric.REQUESTS, 2, "401", "unauthorized")
    found = {s.labels: s.value for s in total("gateway", (first, second)).samples(Metric.REQUESTS)}
    assert found == {("202", "accepted"): 1, ("401", "unauthorized"): 4}


def test_lasting() -> None:
    """What stays of a process that is gone: its counters and histograms, no gauge."""
    written = meter(3, 1, 70, 5, took_s=0.003)
    left = from_bytes("gateway", to_bytes(written)).lasting()
    kept = {m.name for m in left.metrics() if list(left.samples(m))}
    assert {"REQUESTS", "ADMISSION_SECONDS"} <= kept
    assert not kept & {m.name for m in Metric if m.value.kind == "gauge"}
