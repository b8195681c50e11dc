"""The report as one page that opens offline: figures, and three curves drawn as SVG."""

import html
import math
from collections.abc import Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 860, 240, 64, 28, 12
COLOURS = ("#0b6bcb", "#c2410c", "#6b7280")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; color: #111;
  padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1.2rem .2rem 0;
  text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
.warn { background: #fef3c7; padding: .5rem .8rem; margin: .4rem 0 }
.bad { background: #fee2e2; padding: .5rem .8rem }
.good { background: #dcfce7; padding: .5rem .8rem }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #555 }
code { font-size: .9em; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } svg text { fill: #aaa }
  .warn, .bad, .good { color: #111 } }
"""

Line = tuple[str, Sequence[tuple[float, float]]]


def page(report: dict[str, Any]) -> str:
    """The whole page of a report that loadtest/report.py has built."""
    parts = [
        "<h1>Load test</h1>",
        f"<p>{_text(_headline(report))}</p>",
        *(f'<p class="warn">{_text(w)}</p>' for w in report["warnings"]),
        _verdict(report["verify"]),
        _figures(report),
        "<h2>Latency over time</h2>",
        chart(_over_time(report), x_name="seconds", y_name="ms"),
        "<h2>Accepted over time</h2>",
        chart([("requests/s", _series(report, "requests"))], x_name="seconds", y_name="1/s"),
        "<h2>Latency by percentile</h2>",
        chart([("latency", _percentiles(report))], x_name="percentile", y_name="ms", nines=True),
        _sweep(report["sweep"]),
        _settings(report),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Load test</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def chart(lines: list[Line], *, x_name: str, y_name: str, nines: bool = False) -> str:
    """A line chart. `nines`: x is a percentile, spread so that each further nine has equal room."""
    lines = [(name, points) for name, points in lines if points]
    if not lines:
        return "<p>Nothing was measured.</p>"
    place = _nines if nines else float
    xs = [place(x) for _, points in lines for x, _ in points]
    top = _round_up(max(y for _, points in lines for _, y in points))
    low, high = min(xs), max(*xs, min(xs) + 1e-9)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (place(x) - low) / (high - low) * (WIDTH - LEFT - 12)
        return LEFT + across, TOP + (1 - y / top) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 24}" role="img">']
    for tick in range(5):
        y = at(lines[0][1][0][0], top * tick / 4)[1]
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * tick / 4:g}</text>'
        )
    ticks = [p for p in (50, 90, 99, 99.9, 99.99) if nines] or _ticks(low, high)
    for value in ticks:
        x = at(value, 0)[0]
        if x <= WIDTH - 10:
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{value:g}</text>'
            )
    for colour, (_, points) in zip(COLOURS, lines, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    legend = "".join(
        f'<tspan fill="{colour}">■ {_text(name)}  </tspan>'
        for colour, (name, _) in zip(COLOURS, lines, strict=False)
    )
    parts.append(f'<text x="{LEFT}" y="{HEIGHT + 14}">{legend}{y_name} by {x_name}</text></svg>')
    return "\n".join(parts)


def _nines(percentile: float) -> float:
    """How many nines a percentile has: 90 is 1, 99 is 2; 100 is drawn as 99.999."""
    return -math.log10(1 - min(percentile, 99.999) / 100)


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    unit = 10 ** math.floor(math.log10(value))
    return float(next(step * unit for step in (1, 2, 5, 10) if step * unit >= value))


def _ticks(low: float, high: float) -> list[float]:
    step = max(1.0, _round_up((high - low) / 8))
    return [low + step * n for n in range(int((high - low) / step) + 1)]


def _over_time(report: dict[str, Any]) -> list[Line]:
    return [(name[:-3], _series(report, name)) for name in ("p50_ms", "p99_ms", "max_ms")]


def _series(report: dict[str, Any], name: str) -> list[tuple[float, float]]:
    return [(second["at_s"], second[name]) for second in report["seconds"]]


def _percentiles(report: dict[str, Any]) -> list[tuple[float, float]]:
    return [(float(p), float(ms)) for p, ms in report["curve"]]


def _headline(report: dict[str, Any]) -> str:
    plan, counts = report["plan"], report["counts"]
    rate = "as fast as answers came" if plan["rate_s"] is None else f"at {plan['rate_s']:,g}/s"
    return (
        f"{counts['accepted']:,} requests with {counts['events']:,} events accepted in"
        f" {report['durationS']:g} s, sent {rate} ({report['loop']} loop), {report['startedAt']}."
    )


def _verdict(verify: dict[str, Any] | None) -> str:
    if verify is None:
        return ""
    kind = "good" if verify["holds"] else "bad"
    text = (
        f"Acknowledged {verify['acknowledged']:,}, stored {verify['stored']:,},"
        f" dead letters {verify['dead_lettered']:,}: {verify['lost']:,} lost,"
        f" {verify['duplicated']:,} duplicated, {verify['altered']:,} altered,"
        f" {verify['never_sent']:,} never sent."
    )
    ids = "".join(
        f"<br>{_text(name)}: <code>{_text(', '.join(found))}</code>"
        for name, found in verify["ids"].items()
        if found
    )
    return f'<p class="{kind}">{text}{ids}</p>'


def _figures(report: dict[str, Any]) -> str:
    rows = [("requests/s", report["requestsPerS"]), ("events/s", report["eventsPerS"])]
    rows += [(f"latency {name}, ms", ms) for name, ms in report["latencyMs"].items()]
    rows += [(name, n) for name, n in report["counts"].items() if isinstance(n, int)]
    rows += [(f"answered {key}", n) for key, n in report["counts"]["refused"].items()]
    rows += [(f"against the contract: {key}", n) for key, n in report["counts"]["wrong"].items()]
    return _table([(name, f"{value:,}") for name, value in rows])


def _sweep(trials: list[dict[str, Any]]) -> str:
    if not trials:
        return ""
    ordered = sorted(trials, key=lambda trial: trial["rate_s"])
    points = [(trial["rate_s"], trial["p99_ms"]) for trial in ordered]
    return "<h2>Sweep</h2>" + chart([("p99", points)], x_name="requests/s", y_name="ms")


def _settings(report: dict[str, Any]) -> str:
    rows = [*report["plan"].items(), *report["environment"].items()]
    rows += [("senders' CPU, of a core", report["senderCpu"]), ("kills", report["kills"])]
    return "<h2>Settings</h2>" + _table([(name, str(value)) for name, value in rows])


def _table(rows: list[tuple[str, str]]) -> str:
    cells = (
        f'<tr><td>{_text(name)}</td><td class="n">{_text(value)}</td></tr>' for name, value in rows
    )
    return f"<table>{''.join(cells)}</table>"


def _text(value: str) -> str:
    return html.escape(value)
