"""The page, read by an HTML parser that fails on what does not close; charts by their points."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from loadtest.html import HEIGHT, WIDTH, chart, page
from loadtest.report import Trial, build
from loadtest.verify import Verdict
from tests.loadtest.conftest import SECRET, outcome_of, plan_for, told

VOID = {"meta", "br"}
HOSTILE = "</td></p><script>alert('x')</script><img src=x onerror=\"a()\">&amp;"
LOADS = ("src", "href", "data", "action", "xlink:href", "srcset", "poster", "style", "onerror")


class Reader(HTMLParser):
    """Reads a whole page; fails if an element is not closed, or not in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        assert "svg" in self._open, f"<{tag}/> closes itself only in SVG"
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        self.text += data


def report_of(sweep: bool = False, **changed: object) -> dict[str, Any]:
    """A report of a run of three seconds; `changed` replaces members."""
    snapshots = [
        told(
            elapsed_s=n + 1.0,
            latencies_us=[1_000 * (n + 1)] * 90 + [20_000],
            accepted=1_234 * (n + 1),
            refused={"503 backlog_full": 7},
        )
        for n in range(3)
    ]
    trials = [Trial(r, r, 5.0 if r < 400 else 90.0, 0, r < 400) for r in (100.0, 200.0, 400.0)]
    outcome = outcome_of(plan_for(rate_s=1_234.0, duration_s=3.0), *snapshots)
    report = build(outcome, verdict=Verdict(ids={}), trials=trials if sweep else [])
    return {**report, **changed}


@pytest.mark.parametrize(("sweep", "charts"), [(False, 3), (True, 4)])
def test_well_formed(sweep: bool, charts: int) -> None:
    """A page is closed HTML with three charts, and a fourth for a sweep."""
    text = page(report_of(sweep))
    read = Reader(text)
    assert text.startswith("<!doctype html>\n<html lang=")
    assert read.tags.count("svg") == charts
    assert ("charset", "utf-8") in read.attributes
    assert ("Sweep" in read.text) is sweep


def test_offline() -> None:
    """A page loads nothing: no address is referred to, and no script, style or image."""
    text = page(report_of(sweep=True))
    read = Reader(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name in LOADS]
    assert not [value for _, value in read.attributes if value and "//" in value]
    assert "url(" not in text
    assert "@import" not in text


def test_secret() -> None:
    """The project's secret is not on the page."""
    assert SECRET not in page(report_of())


def test_figures() -> None:
    """The page says what was measured, with which settings, and where."""
    report = report_of()
    text = Reader(page(report)).text
    for told_ in ("3,702 requests", "open loop", "at 1,234/s", "503 backlog_full", "1,234.0"):
        assert told_ in text, told_
    for name, value in (*report["plan"].items(), *report["environment"].items()):
        assert f"{name}{value}" in text, name


@pytest.mark.parametrize(
    "changed",
    [
        {"warnings": [HOSTILE]},
        {"kills": [HOSTILE]},
        {"startedAt": HOSTILE},
        {"senderCpu": {HOSTILE: 0.1}},
        {"environment": {HOSTILE: HOSTILE}},
        {"latencyMs": {HOSTILE: 1.0}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_escapes(changed: dict[str, object]) -> None:
    """Text of any origin is shown as text."""
    read = Reader(page(report_of(**changed)))
    assert not {"script", "img"} & set(read.tags)
    assert HOSTILE in read.text.replace("\\", "")


def test_escapes_what_the_target_says() -> None:
    """Codes from the target's answers, ids from its store and names are shown as text."""
    report = report_of()
    report["counts"]["refused"] = {HOSTILE: 1}
    report["counts"]["wrong"] = {HOSTILE: 1}
    report["plan"]["project"] = HOSTILE
    report["verify"]["ids"] = {HOSTILE: [HOSTILE]}
    read = Reader(page(report))
    assert not {"script", "img"} & set(read.tags)
    assert read.text.count(HOSTILE) == 5


@pytest.mark.parametrize(
    ("verify", "class_", "says"),
    [
        (Verdict(acknowledged=5, stored=5), "good", "0 lost"),
        (Verdict(acknowledged=5, lost=1, ids={"lost": ["lt-x-0-4"]}), "bad", "1 lost"),
    ],
)
def test_verdict(verify: Verdict, class_: str, says: str) -> None:
    """The proof is green if it holds; if not it is red and lists ids."""
    report = build(outcome_of(plan_for()), verdict=verify)
    read = Reader(page(report))
    assert ("class", class_) in read.attributes
    assert says in read.text
    assert ("lt-x-0-4" in read.text) is bool(verify.lost)


def test_partial() -> None:
    """A partial report says so at its top."""
    outcome = outcome_of(plan_for(), told())
    outcome.partial = True
    read = Reader(page(build(outcome)))
    assert ("class", "warn") in read.attributes
    assert "partial" in read.text.partition("Latency over time")[0]


def test_no_verdict() -> None:
    """Without a proof the page does not speak of one."""
    assert "Acknowledged" not in Reader(page(build(outcome_of(plan_for())))).text


def test_nothing_measured() -> None:
    """The page of a run in which nothing was answered has no chart, and says why."""
    read = Reader(page(build(outcome_of(plan_for()))))
    assert "svg" not in read.tags
    assert read.text.count("Nothing was measured.") == 3


def points_of(text: str) -> list[list[tuple[float, float]]]:
    """The points of each line of a chart; fails if one is outside of it."""
    Reader(text)
    lines = [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in found.split())]
        for found in re.findall(r'points="([^"]*)"', text)
    ]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for line in lines for x, y in line)
    return lines


def test_chart() -> None:
    """Points go from left to right, and up as values grow; each line has its name."""
    first, second = [(0.0, 0.0), (1.0, 5.0), (2.0, 10.0)], [(0.0, 2.0), (2.0, 2.0)]
    text = chart([("first", first), ("<b>", second)], x_name="seconds", y_name="ms")
    one, two = points_of(text)
    assert [x for x, _ in one] == sorted({x for x, _ in one})
    assert [y for _, y in one] == sorted({y for _, y in one}, reverse=True)
    assert two[0][1] == two[1][1]
    assert "first" in Reader(text).text
    assert "<b>" in Reader(text).text
    assert "ms by seconds" in Reader(text).text


@pytest.mark.parametrize(
    "points",
    [
        [(3.0, 7.0)],
        [(0.0, 0.0)],
        [(0.0, 0.0), (1.0, 0.0)],
        [(5.0, 1e-6), (5.0, 1e9)],
        [(n / 7, n * 1e5) for n in range(2_000)],
    ],
    ids=["one-point", "one-zero", "zeros", "same-x", "many"],
)
def test_chart_of(points: list[tuple[float, float]]) -> None:
    """One point, zeros, equal places, thousands of points: the chart holds them all."""
    (line,) = points_of(chart([("x", points)], x_name="x", y_name="y"))
    assert len(line) == len(points)


def test_chart_of_nothing() -> None:
    """A chart without points says that nothing was measured; an empty line is left out."""
    assert chart([("x", [])], x_name="x", y_name="y") == "<p>Nothing was measured.</p>"
    text = chart([("empty", []), ("one", [(1.0, 1.0)])], x_name="x", y_name="y")
    assert len(points_of(text)) == 1
    assert "empty" not in text


def test_percentile_chart() -> None:
    """Each further nine of a percentile has equal room; 100 is within the chart."""
    points = [(p, 1.0) for p in (0.0, 90.0, 99.0, 99.9, 100.0)]
    (line,) = points_of(chart([("x", points)], x_name="percentile", y_name="ms", nines=True))
    zero, ninety, ninety_nine, three_nines, hundred = (x for x, _ in line)
    assert ninety - zero == pytest.approx(ninety_nine - ninety, abs=0.2)
    assert ninety_nine - ninety == pytest.approx(three_nines - ninety_nine, abs=0.2)
    assert hundred > three_nines
