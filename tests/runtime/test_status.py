"""The status pages over a real socket; metrics are read with prometheus_client's own parser."""

from collections.abc import AsyncIterator
from importlib.metadata import version

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from core.metrics import SECONDS, Meter, Metric
from runtime.status import FIXED_HEADERS, METRICS_TYPE, add_fixed_headers, status_routes

Page = tuple[int, "dict[str, str]", bytes]


class Pages:
    """A server with the three pages, the meter they show, and what is missing."""

    def __init__(self) -> None:
        self.meter = Meter("gateway")
        self.missing: list[str] = []
        self.degraded: list[str] = []
        self.url = ""

    async def get(self, path: str) -> Page:
        """(status, headers, body) of a page."""
        async with aiohttp.ClientSession() as client, client.get(self.url + path) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def families(self) -> dict[str, Family]:
        """The metrics page, parsed."""
        _, _, body = await self.get("/metrics")
        return {f.name: f for f in text_string_to_metric_families(body.decode())}


@pytest.fixture
async def pages() -> AsyncIterator[Pages]:
    """A gateway's pages on a free port."""
    pages, app = Pages(), web.Application()
    app.router.add_routes(status_routes(pages.meter, lambda: pages.missing, lambda: pages.degraded))
    app.on_response_prepare.append(add_fixed_headers)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pages.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield pages
    await runner.cleanup()


async def test_healthz(pages: Pages) -> None:
    """Alive is who answers, ready or not; the version is told."""
    pages.missing = ["The queue is away"]
    status, headers, body = await pages.get("/healthz")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert body.decode() == f'{{"status":"alive","version":"{version("contox-ingest")}"}}'


async def test_readyz(pages: Pages) -> None:
    """Ready is 200 while nothing is missing, else 503 with each sentence; it is asked each time."""
    for missing, status, body in (
        ([], 200, '{"status":"ready","missing":[],"degraded":[]}'),
        (["No ü", "Full"], 503, '{"status":"unready","missing":["No ü","Full"],"degraded":[]}'),
        ([], 200, '{"status":"ready","missing":[],"degraded":[]}'),
    ):
        pages.missing = missing
        answer = await pages.get("/readyz")
        assert (answer[0], answer[2].decode()) == (status, body)
        assert answer[1]["Content-Type"] == "application/json"


async def test_degraded(pages: Pages) -> None:
    """What is degraded is told, and leaves a role ready."""
    pages.degraded = ["2 entries are spooled"]
    status, _, body = await pages.get("/readyz")
    expected = '{"status":"ready","missing":[],"degraded":["2 entries are spooled"]}'
    assert (status, body.decode()) == (200, expected)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/none"])
async def test_fixed_headers(pages: Pages, path: str) -> None:
    """Every response carries the contract's fixed headers, and no software's version."""
    _, headers, _ = await pages.get(path)
    assert {name: headers.get(name) for name in FIXED_HEADERS} == FIXED_HEADERS
    assert FIXED_HEADERS["X-Content-Type-Options"] == "nosniff"
    assert FIXED_HEADERS["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert "aiohttp" not in headers["Server"]


async def test_every_metric(pages: Pages) -> None:
    """Every declared metric of the role, and no other, is on the page with its help and kind."""
    families = await pages.families()
    shown = {(family.name, family.type, family.documentation) for family in families.values()}
    assert shown == {
        (metric.full_name.removesuffix("_total"), metric.value.kind, metric.value.help)
        for metric in Metric
        if metric.value.role == "gateway"
    }


async def test_type(pages: Pages) -> None:
    """The page says which text format it is."""
    status, headers, _ = await pages.get("/metrics")
    assert (status, headers["Content-Type"]) == (200, METRICS_TYPE)


async def test_counters(pages: Pages) -> None:
    """A counter shows what was added, by label; untouched it is 0, or absent if it has labels."""
    before = await pages.families()
    assert before["contox_ingest_requests"].samples == []
    assert [s.value for s in before["contox_ingest_body_bytes_accepted"].samples] == [0]
    pages.meter.add(Metric.REQUESTS, 1, "202", "accepted")
    pages.meter.add(Metric.REQUESTS, 2, "202", "accepted")
    pages.meter.add(Metric.REQUESTS, 1, "401", 'odd "label"\n\\')
    pages.meter.add(Metric.BYTES_ACCEPTED, 12_345_678_901)
    after = await pages.families()
    samples = after["contox_ingest_requests"].samples
    assert {s.name for s in samples} == {"contox_ingest_requests_total"}
    assert [(s.labels["status"], s.labels["code"], s.value) for s in samples] == [
        ("202", "accepted", 3),
        ("401", 'odd "label"\n\\', 1),
    ]
    assert after["contox_ingest_body_bytes_accepted"].samples[0].value == 12_345_678_901


async def test_gauges(pages: Pages) -> None:
    """A gauge shows what was set last."""
    pages.meter.set(Metric.BACKLOG_ENTRIES, 7)
    pages.meter.set(Metric.BACKLOG_ENTRIES, 3)
    (sample,) = (await pages.families())["contox_ingest_backlog_entries"].samples
    assert (sample.name, sample.value) == ("contox_ingest_backlog_entries", 3)


async def test_histogram(pages: Pages) -> None:
    """A histogram's buckets are cumulative, bounds included, and end in +Inf with the count."""
    for value in (0.0001, 0.0005, 0.0006, 0.3, 5.0, 60.0):
        pages.meter.observe(Metric.ADMISSION_SECONDS, value)
    samples = (await pages.families())["contox_ingest_admission_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    counts = {0.0005: 2, 0.001: 3, 0.25: 3, 0.5: 4, 2.5: 4, 5.0: 5}
    assert list(buckets) == [*map(str, SECONDS), "+Inf"]
    assert {bound: buckets[str(bound)] for bound in counts} == counts
    assert list(buckets.values()) == sorted(buckets.values())
    totals = {s.name.rpartition("_")[2]: s.value for s in samples if "le" not in s.labels}
    assert buckets["+Inf"] == totals["count"] == 6
    assert totals["sum"] == pytest.approx(65.3012)
