"""Every metric, declared once, and the plain counters that hot paths add to.

A `Meter` is a dictionary of numbers: adding costs a tenth of a microsecond and no lock. The status
page turns it into the Prometheus text format with prometheus-client (runtime/status.py). Labels
take their values from closed sets only, so that their number is bounded.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Literal, NamedTuple, Protocol

Kind = Literal["counter", "gauge", "histogram"]
Over = Literal["sum", "max", "min"]
Role = Literal["gateway", "worker"]


class Declaration(NamedTuple):
    """One metric as Prometheus knows it; `bounds` are a histogram's buckets, in its unit.

    over: what a gauge of several processes is as one; counters and histograms are summed.
    """

    role: Role
    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    over: Over = "sum"


def _counter(role: Role, name: str, help_: str, *labels: str) -> Declaration:
    return Declaration(role, "counter", name, help_, labels)


def _gauge(role: Role, name: str, help_: str, *labels: str, over: Over = "sum") -> Declaration:
    return Declaration(role, "gauge", name, help_, labels, over=over)


def _seconds(role: Role, name: str, help_: str) -> Declaration:
    return Declaration(role, "histogram", name, help_, (), SECONDS)


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
PREFIX = "contox_ingest_"


# fmt: off
class Metric(Enum):
    """The closed table. Names end in their unit, counters in _total."""

    REQUESTS = _counter("gateway", "requests_total",
        "Answers to POST /api/v2/ingest.", "status", "code")
    EVENTS_ACCEPTED = _counter("gateway", "events_accepted_total",
        "Events answered with 202.", "durability")
    EVENTS_REJECTED = _counter("gateway", "events_rejected_total",
        "Events of partly accepted batches that were listed as rejected.", "code")
    BYTES_ACCEPTED = _counter("gateway", "body_bytes_accepted_total",
        "Bytes of accepted bodies on the wire.")
    AUTH_FAILURES = _counter("gateway", "auth_failures_total",
        "401 answers by the cause that clients are not told.", "failure")
    ADMISSION_SECONDS = _seconds("gateway", "admission_seconds",
        "From a complete body to its 202.")
    INFLIGHT_BYTES = _gauge("gateway", "inflight_bytes",
        "Bytes of appends awaiting the queue's answer.")
    APPEND_FAILURES = _counter("gateway", "append_failures_total",
        "Appends that the queue refused, or whose outcome is unknown.", "code")
    QUEUE_CONNECTED = _gauge("gateway", "queue_connected",
        "1 while the publisher is connected and its tier can be reached.", over="min")
    BACKLOG_ENTRIES = _gauge("gateway", "backlog_entries",
        "Entries in the fullest partition, as last sampled.", over="max")
    BACKLOG_LAG = _gauge("gateway", "backlog_lag_entries",
        "Entries that no worker has read yet, in the partition that has most of them.", over="max")
    BACKLOG_MEMORY = _gauge("gateway", "backlog_memory_ratio",
        "Used share of the queue's maxmemory; 0 if it has none.", over="max")
    BACKLOG_DRAIN = _gauge("gateway", "backlog_drain_entries_per_second",
        "Entries that the workers store per second, as measured lately.", over="max")
    BACKLOG_FULL = _gauge("gateway", "backlog_full",
        "1 while a bound of the backlog is reached and events are refused.", over="max")
    RECEIVING_BYTES = _gauge("gateway", "receiving_bytes",
        "Bytes of bodies that are being received.")
    CONNECTIONS = _gauge("gateway", "connections",
        "Open connections.")
    CONNECTIONS_REFUSED = _counter("gateway", "connections_refused_total",
        "Connections closed at once, since there were too many.")
    CONNECTIONS_TIMED_OUT = _counter("gateway", "connections_timed_out_total",
        "Connections closed because a request's headers did not arrive in time.")
    SPOOL_ENTRIES = _gauge("gateway", "spool_entries",
        "Entries in the spool, waiting for the queue.")
    SPOOL_BYTES = _gauge("gateway", "spool_bytes",
        "Bytes in the spool, waiting for the queue.")
    SPOOL_TAKEN = _counter("gateway", "spool_entries_taken_total",
        "Entries that were written to the spool.")
    SPOOL_DRAINED = _counter("gateway", "spool_entries_drained_total",
        "Entries that went from the spool to the queue.")
    SPOOL_FAILURES = _counter("gateway", "spool_failures_total",
        "Entries that the spool could not take.", "code")
    EVENTS_FORGOTTEN = _counter("gateway", "events_forgotten_total",
        "Appended events that the queue's ledger knew no more; all of them, if it was emptied.")
    KEYRING_LOOKUPS = _counter("gateway", "keyring_lookups_total",
        "Lookups of project keys that the process's memory could not answer.", "source")
    PROCESSES = _gauge("gateway", "processes",
        "Processes of the gateway whose figures here are not older than 2 s.")
    EVENTS_STORED = _counter("worker", "events_stored_total",
        "Events written to the store as new rows.")
    EVENTS_DUPLICATE = _counter("worker", "events_duplicate_total",
        "Events that the store already had.")
    EVENTS_DEAD = _counter("worker", "events_dead_lettered_total",
        "Events that the store refused, kept as dead letters.")
    ENTRIES_DEAD = _counter("worker", "entries_dead_lettered_total",
        "Stream entries that could not be read, kept as dead letters.")
    ENTRIES_LOST = _counter("worker", "entries_lost_total",
        "Entries that were deleted from the stream before they were stored.")
    ENTRIES_CLAIMED = _counter("worker", "entries_claimed_total",
        "Entries taken over from a worker that left them idle.")
    GROUPS_CREATED = _counter("worker", "groups_created_total",
        "Consumer groups that were missing and have been created.")
    STORE_FAILURES = _counter("worker", "store_failures_total",
        "Writes that failed because the store was not available.")
    PENDING_ENTRIES = _gauge("worker", "pending_entries",
        "Entries that a worker has read and not yet stored.")
    DEAD_LETTERS = _gauge("worker", "dead_letters",
        "Dead letters that are kept now.")
    BREAKER_OPEN = _gauge("worker", "breaker_open",
        "Partitions whose drain is stopped, since most events would become dead letters.")
    QUEUE_RESETS = _counter("worker", "queue_resets_total",
        "Times that the queue was found empty, replaced, or without its last writes.")
    LEDGER_EVENTS = _gauge("worker", "ledger_events",
        "Events of all projects by what has become of them.", "state")
    LEDGER_IMBALANCE = _gauge("worker", "ledger_imbalance_events",
        "Events accepted that are neither stored, dead, purged, written off nor in flight.")
    LEDGER_ALARM = _gauge("worker", "ledger_alarm",
        "1 once an imbalance has persisted.")
    DRAIN_SECONDS = _seconds("worker", "drain_seconds",
        "From reading a batch to its acknowledgement.")
    DRAIN_STAGE_SECONDS = _counter("worker", "drain_stage_seconds_total",
        "Seconds spent on read (waiting included), decode, write and settle, which overlap.",
        "stage")

    @property
    def full_name(self) -> str:
        """The name on the metrics page."""
        return PREFIX + self.value.name
# fmt: on


class Sample(NamedTuple):
    """One time series: label values in the order of the declaration, and what it holds.

    buckets: for a histogram the counts per bound, the last one beyond all; else empty.
    """

    labels: tuple[str, ...]
    value: float
    buckets: tuple[int, ...]


class Cell:
    """The number of one series; a hot path keeps hold of it, and adds to `value` itself."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Histogram:
    """One histogram; a hot path keeps hold of it."""

    __slots__ = ("_bounds", "buckets", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.sum = Cell()
        self.buckets = [0] * (len(bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, in the metric's unit, as often as it was seen."""
        self.sum.value += value * times
        self.buckets[bisect_left(self._bounds, value)] += times


class Figures(Protocol):
    """What a metrics page shows."""

    def metrics(self) -> Iterable[Metric]:
        """The metrics of the role."""

    def samples(self, metric: Metric) -> Iterable[Sample]:
        """Every series of a metric; a histogram's value is the sum of what was observed."""


class Source(Protocol):
    """Where a metrics page comes from."""

    def now(self) -> Figures:
        """What is to be shown now."""


class Meter:
    """The counters of one process in its role. Not for several threads."""

    def __init__(self, role: Role) -> None:
        self._cells: dict[Metric, dict[tuple[str, ...], Cell]] = {
            metric: {} for metric in Metric if metric.value.role == role
        }
        self._histograms = {
            metric: Histogram(metric.value.bounds)
            for metric in self._cells
            if metric.value.kind == "histogram"
        }
        for metric, histogram in self._histograms.items():
            self._cells[metric][()] = histogram.sum
        for metric in self._cells:
            if not metric.value.labels:
                self.cell(metric)  # a counter that nothing has touched reads 0, not absent

    def cell(self, metric: Metric, *labels: str) -> Cell:
        """The series with these label values, which appears with this."""
        series = self._cells[metric]
        found = series.get(labels)
        if found is None:
            found = series[labels] = Cell()
        return found

    def add(self, metric: Metric, amount: float = 1, *labels: str) -> None:
        """Add to a counter."""
        self.cell(metric, *labels).value += amount

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        self.cell(metric, *labels).value = value

    def observe(self, metric: Metric, value: float) -> None:
        """Count a value, in the metric's unit, into a histogram."""
        self._histograms[metric].observe(value)

    def histogram(self, metric: Metric) -> Histogram:
        """A metric that is a histogram."""
        return self._histograms[metric]

    def get(self, metric: Metric, *labels: str) -> float:
        """The value of one series; 0 if nothing has touched it."""
        found = self._cells[metric].get(labels)
        return found.value if found else 0

    def now(self) -> Figures:
        """See Source: its own figures."""
        return self

    def metrics(self) -> Iterator[Metric]:
        """The metrics of this process's role."""
        yield from self._cells

    def samples(self, metric: Metric) -> Iterator[Sample]:
        """Every series of a metric; a histogram's value is the sum of what was observed."""
        histogram = self._histograms.get(metric)
        buckets = tuple(histogram.buckets) if histogram else ()
        for labels, cell in self._cells[metric].items():
            yield Sample(labels, cell.value, buckets)
