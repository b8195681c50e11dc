"""The bars that the project sets itself, held against what was measured; nothing here measures."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bench import drain, tiers
from bench.batches import PER_EVENT
from bench.growth import FULL
from bench.idle import OVER
from bench.peer_table import OURS
from bench.rounds import AGAINST, CPU, P99, RATE

Cases = Mapping[str, Mapping[str, Any]]


class Bar(NamedTuple):
    """One promise. `figure` raises KeyError where what it needs was not measured."""

    name: str
    figure: Callable[[Cases], float]
    most: float | None = None
    least: float | None = None
    unit: str = ""

    def limit(self) -> str:
        """The bar as text."""
        sign, value = ("≤", self.most) if self.most is not None else ("≥", self.least)
        return f"{sign} {value:,g}{self.unit}"

    def met(self, figure: float) -> bool:
        """Whether a figure is within the bar."""
        over = self.most is not None and figure > self.most
        under = self.least is not None and figure < self.least
        return not (over or under)


def value(case: str, row: str, name: str) -> Callable[[Cases], float]:
    """One figure of a case's table."""
    return lambda cases: float(cases[case]["rows"][row][name])


def ratio(case: str, ours: str, theirs: str, name: str = CPU) -> Callable[[Cases], float]:
    """One row's figure over another's."""
    return lambda cases: value(case, ours, name)(cases) / value(case, theirs, name)(cases)


def against(peer: str) -> Callable[[Cases], float]:
    """Our CPU per single event over a peer's."""
    return ratio("peers", OURS, peer)


BARS = (
    Bar("CPU per single event, against the floor", against("floor: uvloop + XADD"), 1.8, unit="x"),
    Bar("… against Go, group commit", against("Go net/http + redigo, group commit"), 0.5, unit="x"),
    Bar("… against Go, pool", against("Go net/http + redigo, pool"), 0.3, unit="x"),
    Bar("… against Fastify", against("Fastify + ioredis"), 0.3, unit="x"),
    Bar("… against FastAPI", against("FastAPI + uvicorn + redis-py"), 0.08, unit="x"),
    Bar(
        "CPU per event, batches of 100",
        value("batches", "100 per request", PER_EVENT),
        1.0,
        unit=" us",
    ),
    Bar(
        f"fsynced requests/s against memory, {tiers.MANY} connections",
        ratio("tiers", tiers.row("fsynced", tiers.MANY), tiers.row("memory", tiers.MANY), RATE),
        least=0.5,
        unit="x",
    ),
    Bar("p99, open loop at half the knee: memory", value("latency", "memory", P99), 5, unit=" ms"),
    Bar(
        "p99, open loop at half the knee: fsynced", value("latency", "fsynced", P99), 25, unit=" ms"
    ),
    Bar(
        "drain per worker: SQLite",
        value("drain", drain.row("sqlite", 100), drain.RATE),
        least=150_000,
        unit=" events/s",
    ),
    Bar(
        "drain per worker: PostgreSQL",
        value("drain", drain.row("postgresql", 100), drain.RATE),
        least=80_000,
        unit=" events/s",
    ),
    Bar(
        "10,000 idle keep-alive connections",
        value("idle", "10,000", OVER),
        80,
        unit=" MB",
    ),
    Bar(
        "single-event CPU, 100,000 projects and a full backlog, against an empty system",
        value("growth", str(FULL), AGAINST),
        1.1,
        unit="x",
    ),
    Bar(
        "import and start to the first 202, warm",
        value("startup", "", "first202Ms"),
        1500,
        unit=" ms",
    ),
)


def judge(cases: Cases, bars: tuple[Bar, ...] = BARS) -> list[dict[str, Any]]:
    """Each bar with its figure and whether it is met; both are None where it was not measured."""
    return [_judged(bar, cases) for bar in bars]


def _judged(bar: Bar, cases: Cases) -> dict[str, Any]:
    try:
        figure = bar.figure(cases)
    except KeyError:
        return {"name": bar.name, "bar": bar.limit(), "figure": None, "met": None}
    return {"name": bar.name, "bar": bar.limit(), "figure": figure, "met": bar.met(figure)}
