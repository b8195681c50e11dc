"""The table keeps Prometheus's naming rules; a meter counts and forgets nothing."""

import pytest

from core.metrics import SECONDS, Meter, Metric, Sample


@pytest.mark.parametrize("metric", Metric, ids=lambda metric: metric.value.name)
def test_declaration_keeps_the_naming_rules(metric: Metric) -> None:
    """Counters end in _total, histograms in their unit; every help is a sentence."""
    declared = metric.value
    assert metric.full_name == f"contox_ingest_{declared.name}"
    assert declared.name.endswith("_total") == (declared.kind == "counter")
    assert declared.name.endswith("_seconds") == (declared.kind == "histogram")
    assert declared.bounds == (SECONDS if declared.kind == "histogram" else ())
    assert declared.help.endswith(".")
    assert declared.kind != "histogram" or declared.labels == ()


def test_names_are_declared_once() -> None:
    """No two metrics share a name, and bounds rise."""
    assert len({metric.full_name for metric in Metric}) == len(Metric)
    assert list(SECONDS) == sorted(set(SECONDS))


def test_meter_has_its_roles_metrics() -> None:
    """Gateway and worker each have their own metrics, and together all of them."""
    gateway, worker = set(Meter("gateway").metrics()), set(Meter("worker").metrics())
    assert Metric.REQUESTS in gateway
    assert Metric.EVENTS_STORED in worker
    assert gateway | worker == set(Metric)
    assert gateway & worker == set()


def test_untouched_metric_without_labels_reads_zero() -> None:
    """A series without labels is there from the start; one with labels once it was touched."""
    meter = Meter("gateway")
    assert list(meter.samples(Metric.BYTES_ACCEPTED)) == [Sample((), 0, ())]
    assert list(meter.samples(Metric.REQUESTS)) == []
    assert meter.get(Metric.REQUESTS, "202", "accepted") == 0


def test_counter_adds_up_per_label() -> None:
    """A counter adds one, or an amount, to the series of its labels."""
    meter = Meter("gateway")
    meter.add(Metric.EVENTS_ACCEPTED, 3, "memory")
    meter.add(Metric.EVENTS_ACCEPTED, 1, "fsynced")
    meter.add(Metric.EVENTS_ACCEPTED, 4, "memory")
    meter.add(Metric.BYTES_ACCEPTED)
    assert meter.get(Metric.EVENTS_ACCEPTED, "memory") == 7
    assert meter.get(Metric.BYTES_ACCEPTED) == 1
    assert list(meter.samples(Metric.EVENTS_ACCEPTED)) == [
        Sample(("memory",), 7, ()),
        Sample(("fsynced",), 1, ()),
    ]


def test_gauge_is_set() -> None:
    """A gauge holds what it was set to last."""
    meter = Meter("gateway")
    meter.set(Metric.INFLIGHT_BYTES, 5)
    meter.set(Metric.INFLIGHT_BYTES, 2)
    assert meter.get(Metric.INFLIGHT_BYTES) == 2


def test_histogram_counts_into_buckets() -> None:
    """A value on a bound counts at or below it, one beyond all bounds into the last bucket."""
    meter = Meter("worker")
    for seconds in (0.0, 0.0005, 0.0006, 5.0, 5.1):
        meter.observe(Metric.DRAIN_SECONDS, seconds)
    (sample,) = meter.samples(Metric.DRAIN_SECONDS)
    assert sample.buckets == (2, 1, *[0] * 10, 1, 1)
    assert sample.value == pytest.approx(10.1011)


def test_observed_several_times() -> None:
    """A value that was seen so many times counts as if each had been observed."""
    meter = Meter("gateway")
    meter.histogram(Metric.ADMISSION_SECONDS).observe(0.25, times=3)
    (sample,) = meter.samples(Metric.ADMISSION_SECONDS)
    assert (sum(sample.buckets), sample.value) == (3, pytest.approx(0.75))


def test_meters_share_nothing() -> None:
    """What one meter counts, another does not."""
    meter = Meter("worker")
    meter.observe(Metric.DRAIN_SECONDS, 1)
    meter.add(Metric.EVENTS_STORED, 2)
    (sample,) = Meter("worker").samples(Metric.DRAIN_SECONDS)
    assert sum(sample.buckets) == sample.value == Meter("worker").get(Metric.EVENTS_STORED) == 0


def test_shows_itself() -> None:
    """The page of a process that is alone shows its own figures."""
    meter = Meter("gateway")
    assert meter.now() is meter


def test_gauges_of_several_processes() -> None:
    """What each process samples of the same queue is not summed; a broken connection shows."""
    over = {metric: metric.value.over for metric in Metric if metric.value.over != "sum"}
    assert over.pop(Metric.QUEUE_CONNECTED) == "min"
    assert {metric.name.partition("_")[0] for metric in over} == {"BACKLOG"}
    assert set(over.values()) == {"max"}
    assert all(metric.value.kind == "gauge" for metric in over)


def test_histogram_held() -> None:
    """What holds on to a histogram counts into the same one as the meter does."""
    meter = Meter("gateway")
    held = meter.histogram(Metric.ADMISSION_SECONDS)
    held.observe(0.002)
    meter.observe(Metric.ADMISSION_SECONDS, 0.003)
    (sample,) = meter.samples(Metric.ADMISSION_SECONDS)
    assert sample.value == pytest.approx(0.005)
    assert sum(sample.buckets) == 2
