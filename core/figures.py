"""The figures of several processes as those of one: written down, read back, and summed.

figures := msgpack [[metric, [label, ...], value, [bucket, ...]], ...]
metric is a member's name; buckets are a histogram's. Writer and reader are one version of ours.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from core.metrics import Figures, Metric, Over, Role, Sample

Series = tuple[str, tuple[str, ...], float, tuple[int, ...]]
COMBINE: dict[Over, Callable[[tuple[float, float]], float]] = {"sum": sum, "max": max, "min": min}
_decoder = msgspec.msgpack.Decoder(list[Series])


class Snapshot:
    """Figures at a moment. `from_bytes` reads what `to_bytes` wrote, `total` sums others."""

    def __init__(self, role: Role, series: dict[Metric, dict[tuple[str, ...], Sample]]) -> None:
        self._role = role
        self._series = series

    def metrics(self) -> Iterator[Metric]:
        """See Figures."""
        return (metric for metric in Metric if metric.value.role == self._role)

    def samples(self, metric: Metric) -> Iterator[Sample]:
        """See Figures."""
        return iter(self._series.get(metric, {}).values())

    def without(self, *left_out: Metric) -> "Snapshot":
        """The same without some metrics."""
        return Snapshot(self._role, {m: s for m, s in self._series.items() if m not in left_out})

    def lasting(self) -> "Snapshot":
        """What stays true when the process is gone: what it has counted, but no gauge."""
        return self.without(*(metric for metric in self._series if metric.value.kind == "gauge"))


def to_bytes(figures: Figures) -> bytes:
    """Figures in the format above."""
    return msgspec.msgpack.encode(
        [
            (metric.name, labels, float(value), buckets)  # some gauges are set to a truth
            for metric in figures.metrics()
            for labels, value, buckets in figures.samples(metric)
        ]
    )


def from_bytes(role: Role, data: bytes) -> Snapshot:
    """Figures from the format above; none from no bytes. Raises ValueError for anything else."""
    series: dict[Metric, dict[tuple[str, ...], Sample]] = {}
    for name, labels, value, buckets in _decoder.decode(data) if data else []:
        series.setdefault(Metric[name], {})[labels] = Sample(labels, value, buckets)
    return Snapshot(role, series)


def total(role: Role, parts: Iterable[Figures]) -> Snapshot:
    """Counters and histograms summed; each gauge combined as its declaration says."""
    series: dict[Metric, dict[tuple[str, ...], Sample]] = {}
    for part in parts:
        for metric in part.metrics():
            merged = series.setdefault(metric, {})
            for sample in part.samples(metric):
                known = merged.get(sample.labels)
                merged[sample.labels] = _combined(metric, known, sample) if known else sample
    return Snapshot(role, series)


def _combined(metric: Metric, a: Sample, b: Sample) -> Sample:
    value = COMBINE[metric.value.over]((a.value, b.value))
    buckets = tuple(x + y for x, y in zip(a.buckets, b.buckets, strict=True))
    return Sample(a.labels, value, buckets)
