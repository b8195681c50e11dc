"""The pages for operators and orchestrators: /healthz, /readyz and /metrics, the same in every
role.

    /healthz  200 while the process runs its loop
    /readyz   200 if the role can do its work durably now, else 503 with what is missing; and what
              is degraded, though the work is done
    /metrics  the Prometheus text format
"""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import accumulate

import orjson
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector, CollectorRegistry

from core.metrics import Metric, Source

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIXED_HEADERS = {
    "Server": "contox-ingest",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
Readiness = Callable[[], list[str]]


def nothing() -> list[str]:
    """The Readiness of a role that has nothing to tell."""
    return []


def status_routes(
    source: Source, missing: Readiness, degraded: Readiness = nothing
) -> list[web.RouteDef]:
    """The three routes. `source`: of the metrics; `missing` gives a sentence for each thing that
    keeps the role from work, `degraded` for each that an operator should know of all the same."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MeterCollector(source))

    async def healthz(_request: web.Request) -> web.Response:
        return _json(200, {"status": "alive", "version": version("contox-ingest")})

    async def readyz(_request: web.Request) -> web.Response:
        reasons = missing()
        status = "unready" if reasons else "ready"
        content = {"status": status, "missing": reasons, "degraded": degraded()}
        return _json(503 if reasons else 200, content)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": METRICS_TYPE})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


async def add_fixed_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Sends PROTOCOL.md's fixed headers with every response; an on_response_prepare signal."""
    response.headers.update(FIXED_HEADERS)


class MeterCollector(Collector):
    """Shows figures to prometheus-client."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        """One family per declared metric."""
        figures = self._source.now()
        for metric in figures.metrics():
            family = _new_family(metric)
            for sample in figures.samples(metric):
                if isinstance(family, HistogramMetricFamily):
                    bounds = [str(bound) for bound in metric.value.bounds] + ["+Inf"]
                    buckets = list(zip(bounds, accumulate(sample.buckets), strict=True))
                    family.add_metric(sample.labels, buckets, sample.value)
                else:
                    family.add_metric(sample.labels, sample.value)
            yield family


def _new_family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    name, text, labels = metric.full_name, metric.value.help, metric.value.labels
    if metric.value.kind == "counter":
        return CounterMetricFamily(name, text, labels=labels)
    if metric.value.kind == "gauge":
        return GaugeMetricFamily(name, text, labels=labels)
    return HistogramMetricFamily(name, text, labels=labels)


def _json(status: int, content: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
