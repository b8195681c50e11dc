"""The view of a load test while it runs: figures that move for a person, plain lines for a file."""

import math
import time
import urllib.request
from types import TracebackType
from urllib.request import ProxyHandler, build_opener

from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.output import stderr
from core.metrics import Metric
from loadtest.run import Outcome, Second

LINE_S = 2.0  # between plain lines
FRAME_S = 0.5  # between pictures
SPARKS = "▁▂▃▄▅▆▇█"
SPARK_SECONDS = 40
METRICS_TIMEOUT_S = 0.5


class LiveView:
    """Shows an outcome as it grows, unless it is quiet. `url` is the gateway's, for its backlog."""

    def __init__(self, url: str, *, quiet: bool = False) -> None:
        drawn = stderr.is_terminal and not quiet
        self._url = url
        self._live = Live(console=stderr, auto_refresh=False) if drawn else None
        self._next_s = 0.0 if drawn else math.inf if quiet else time.monotonic() + LINE_S
        self._opener = build_opener(ProxyHandler({}))

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def show(self, outcome: Outcome) -> None:
        """Show the outcome so far, if it is time to: it takes some ms of a core."""
        if time.monotonic() < self._next_s:
            return
        seconds = outcome.seconds()
        if not seconds:
            return
        self._next_s = time.monotonic() + (FRAME_S if self._live else LINE_S)
        if self._live:
            self._live.update(render(outcome, seconds, self.backlog()), refresh=True)
        else:
            stderr.print(line(outcome, seconds, self.backlog()), highlight=False, soft_wrap=True)

    def backlog(self) -> int | None:
        """Entries that wait for the worker, as the gateway's metrics page says; None: unknown."""
        try:
            with self._opener.open(f"{self._url}/metrics", timeout=METRICS_TIMEOUT_S) as answer:
                text = answer.read().decode()
        except (OSError, urllib.request.HTTPError):
            return None
        name = Metric.BACKLOG_ENTRIES.full_name + " "
        values = [row.removeprefix(name) for row in text.splitlines() if row.startswith(name)]
        return int(float(values[0])) if values else None


def line(outcome: Outcome, seconds: list[Second], backlog: int | None) -> str:
    """One line of figures."""
    now, counts = _settled(seconds), outcome.counts
    errors = sum(counts.refused.values()) + counts.unknown
    waiting = "?" if backlog is None else f"{backlog:,}"
    return (
        f"{outcome.elapsed_s:5.1f} s  {now.requests:,} requests/s  p50 {now.p50_ms:.1f} ms"
        f"  p99 {now.p99_ms:.1f} ms  max {now.max_ms:.1f} ms  accepted {counts.accepted:,}"
        f"  refused or lost {errors:,}  backlog {waiting}"
    )


def render(outcome: Outcome, seconds: list[Second], backlog: int | None) -> Table:
    """The figures and sparklines that a terminal shows."""
    now, counts = _settled(seconds), outcome.counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    recent = seconds[-SPARK_SECONDS:]
    left_s = max(0.0, outcome.plan.duration_s - outcome.elapsed_s)
    rows = [
        ("elapsed", f"{outcome.elapsed_s:.1f} s", f"{left_s:.0f} s left"),
        ("requests/s", f"{now.requests:,}", sparkline([s.requests for s in recent])),
        ("events/s", f"{now.events:,}", ""),
        ("p50", f"{now.p50_ms:.1f} ms", ""),
        ("p99", f"{now.p99_ms:.1f} ms", sparkline([s.p99_ms for s in recent])),
        ("accepted", f"{counts.accepted:,}", f"{counts.events:,} events"),
        ("refused", f"{sum(counts.refused.values()):,}", ", ".join(counts.refused)),
        ("lost connections", f"{counts.connection_errors:,}", f"{counts.retried:,} retries"),
        ("backlog", "?" if backlog is None else f"{backlog:,}", "entries"),
    ]
    for name, figure, more in rows:
        table.add_row(name, figure, Text(more))
    return table


def sparkline(values: list[float] | list[int]) -> str:
    """One character a value, from the lowest bar to the highest."""
    top = max(values, default=0)
    if top <= 0:
        return SPARKS[0] * len(values)
    return "".join(SPARKS[round(value / top * (len(SPARKS) - 1))] for value in values)


def _settled(seconds: list[Second]) -> Second:
    """The last whole second, if there is one."""
    return seconds[-2] if len(seconds) > 1 else seconds[-1]
