"""Every metric, declared once, and the plain counters that hot paths add to.

A `Meter` is a dictionary of numbers: adding costs a tenth of a microsecond and no lock. The status
page turns it into the Prometheus text format with prometheus-client (runtime/status.py). Labels
take their values from closed sets only, so that their number is bounded.
"""

from bisect import bisect_left
from collections.abc import Iterator
from enum import Enum
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Declaration(NamedTuple):
    """One metric as Prometheus knows it; `bounds` are a histogram's buckets, in its unit."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
PREFIX = "contox_ingest_"


class Metric(Enum):
    """The closed table. Names end in their unit, counters in _total."""

    REQUESTS = Declaration(
        "requests_total", "counter", ("status", "code"), "Answers to POST /api/v2/ingest."
    )
    EVENTS_ACCEPTED = Declaration(
        "events_accepted_total", "counter", ("durability",), "Events answered with 202."
    )
    EVENTS_REJECTED = Declaration(
        "events_rejected_total",
        "counter",
        ("code",),
        "Events of partly accepted batches that were listed as rejected.",
    )
    BYTES_ACCEPTED = Declaration(
        "body_bytes_accepted_total", "counter", (), "Bytes of accepted bodies on the wire."
    )
    AUTH_FAILURES = Declaration(
        "auth_failures_total",
        "counter",
        ("failure",),
        "401 answers by the cause that clients are not told.",
    )
    ADMISSION_SECONDS = Declaration(
        "admission_seconds", "histogram", (), "From a complete body to its answer.", SECONDS
    )
    INFLIGHT_BYTES = Declaration(
        "inflight_bytes", "gauge", (), "Body bytes awaiting the queue's answer."
    )
    APPEND_FAILURES = Declaration(
        "append_failures_total",
        "counter",
        ("code",),
        "Requests whose append to the queue failed or has an unknown outcome.",
    )
    QUEUE_CONNECTED = Declaration(
        "queue_connected",
        "gauge",
        (),
        "1 while the publisher is connected and its tier can be reached.",
    )
    BACKLOG_ENTRIES = Declaration(
        "backlog_entries", "gauge", (), "Entries in the fullest partition, as last sampled."
    )
    KEYRING_LOOKUPS = Declaration(
        "keyring_lookups_total",
        "counter",
        ("source",),
        "Lookups of project keys that the process cache could not answer.",
    )
    EVENTS_STORED = Declaration(
        "events_stored_total", "counter", (), "Events written to the store as new rows."
    )
    EVENTS_DUPLICATE = Declaration(
        "events_duplicate_total", "counter", (), "Events that the store already had."
    )
    EVENTS_DEAD = Declaration(
        "events_dead_lettered_total",
        "counter",
        (),
        "Events that the store refused, kept as dead letters.",
    )
    ENTRIES_DEAD = Declaration(
        "entries_dead_lettered_total",
        "counter",
        (),
        "Stream entries that could not be read, kept as dead letters.",
    )
    ENTRIES_LOST = Declaration(
        "entries_lost_total",
        "counter",
        (),
        "Entries that were deleted from the stream before they were stored.",
    )
    ENTRIES_CLAIMED = Declaration(
        "entries_claimed_total",
        "counter",
        (),
        "Entries taken over from a worker that left them idle.",
    )
    GROUPS_CREATED = Declaration(
        "groups_created_total",
        "counter",
        (),
        "Consumer groups that were missing and have been created.",
    )
    STORE_FAILURES = Declaration(
        "store_failures_total",
        "counter",
        (),
        "Writes that failed because the store was not available.",
    )
    DRAIN_SECONDS = Declaration(
        "drain_seconds", "histogram", (), "From reading a batch to its acknowledgement.", SECONDS
    )

    @property
    def full_name(self) -> str:
        """The name on the metrics page."""
        return PREFIX + self.value.name


class Sample(NamedTuple):
    """One time series: label values in the order of the declaration, and what it holds.

    buckets: for a histogram the counts per bound, the last one beyond all; else empty.
    """

    labels: tuple[str, ...]
    value: float
    buckets: tuple[int, ...]


class Meter:
    """The counters of one process. Not for several threads."""

    def __init__(self) -> None:
        self._values: dict[Metric, dict[tuple[str, ...], float]] = {metric: {} for metric in Metric}
        self._buckets: dict[Metric, list[int]] = {
            metric: [0] * (len(metric.value.bounds) + 1)
            for metric in Metric
            if metric.value.kind == "histogram"
        }
        for metric, series in self._values.items():
            if not metric.value.labels:
                series[()] = 0  # a counter that nothing has touched reads 0, not absent

    def add(self, metric: Metric, amount: float = 1, *labels: str) -> None:
        """Add to a counter."""
        series = self._values[metric]
        series[labels] = series.get(labels, 0) + amount

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._values[metric][labels] = value

    def observe(self, metric: Metric, value: float) -> None:
        """Count a value, in the metric's unit, into a histogram."""
        self._values[metric][()] += value
        self._buckets[metric][bisect_left(metric.value.bounds, value)] += 1

    def get(self, metric: Metric, *labels: str) -> float:
        """The value of one series; 0 if nothing has touched it."""
        return self._values[metric].get(labels, 0)

    def samples(self, metric: Metric) -> Iterator[Sample]:
        """Every series of a metric; a histogram's value is the sum of what was observed."""
        buckets = tuple(self._buckets.get(metric, ()))
        for labels, value in self._values[metric].items():
            yield Sample(labels, value, buckets)
