"""Lines and tables from outcomes that were fed; the view on a console that is a terminal or not."""

import asyncio
import io

import pytest
from rich.console import Console

from cli import live
from cli.live import SPARKS, LiveView, line, render, sparkline
from loadtest.plan import Plan
from loadtest.run import Outcome
from tests.cli.conftest import Target
from tests.loadtest.conftest import always, answering, outcome_of, plan_for, reply, told

PAGE = b"# HELP x\ncontox_ingest_backlog_entries 1234.0\ncontox_ingest_backlog_entries_more 7\n"


def grown(plan: Plan | None = None) -> Outcome:
    """An outcome of three seconds; the last one is under way."""
    return outcome_of(
        plan or plan_for(duration_s=10.0),
        told(elapsed_s=1.0, accepted=1_000, events=2_000, latencies_us=[1_000] * 99 + [5_000]),
        told(elapsed_s=2.0, accepted=3_000, events=6_000, latencies_us=[2_000] * 99 + [9_000]),
        told(
            elapsed_s=2.6,
            accepted=3_100,
            events=6_200,
            refused={"503 backlog_full": 40, "401 unauthorized": 2},
            unknown=5,
            retried=9,
            connection_errors=11,
        ),
    )


def console(monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int = 120) -> io.StringIO:
    """What the view writes to standard error from now on."""
    text = io.StringIO()
    stderr = Console(file=text, force_terminal=terminal, width=width, _environ={"TERM": "xterm"})
    monkeypatch.setattr(live, "stderr", stderr)
    return text


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([0], "▁"),
        ([0, 0, 0], "▁▁▁"),
        ([5], "█"),
        ([7, 7], "██"),
        ([0, 1, 2, 3, 4, 5, 6, 7], SPARKS),
        ([0.0, 0.5, 1.0], "▁▅█"),
        ([1, 1_000_000], "▁█"),
    ],
)
def test_sparkline(values: list[float], shown: str) -> None:
    """A sparkline has one bar a value, from nothing to the highest."""
    assert sparkline(values) == shown


def test_line() -> None:
    """A line has the last whole second's figures, and the counts so far."""
    outcome = grown()
    assert line(outcome, outcome.seconds(), 1_234).strip() == (
        "2.6 s  2,000 requests/s  p50 2.0 ms  p99 2.0 ms  max 9.0 ms  accepted 3,100"
        "  refused or lost 47  backlog 1,234"
    )


def test_first_line() -> None:
    """In the first second the figures are that second's; a backlog that is not known is a ?."""
    outcome = outcome_of(plan_for(), told(elapsed_s=0.5, accepted=7))
    text = line(outcome, outcome.seconds(), None)
    assert "7 requests/s" in text
    assert text.endswith("backlog ?")


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a row a figure, with a sparkline of the rate and one of the latency."""
    text, outcome = console(monkeypatch, terminal=False), grown()
    live.stderr.print(render(outcome, outcome.seconds(), 1_234))
    rows = [" ".join(row.split()) for row in text.getvalue().splitlines()]
    assert rows == [
        "elapsed 2.6 s 7 s left",
        "requests/s 2,000 ▅█▁",
        "events/s 4,000",
        "p50 2.0 ms",
        "p99 2.0 ms ▅█▁",
        "accepted 3,100 6,200 events",
        "refused 42 503 backlog_full, 401 unauthorized",
        "lost connections 11 9 retries",
        "backlog 1,234 entries",
    ]


def test_hostile_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the target calls its refusals is shown as text, not as markup of the console."""
    text = console(monkeypatch, terminal=False)
    outcome = outcome_of(plan_for(), told(refused={"500 [red]x[/nothing]": 1}))
    live.stderr.print(render(outcome, outcome.seconds(), None))
    assert "500 [red]x[/nothing]" in text.getvalue()


def test_many_seconds() -> None:
    """A sparkline shows the last forty seconds; the table stays as high as it was."""
    snapshots = [told(elapsed_s=n + 1.0, accepted=10 * n) for n in range(100)]
    outcome = outcome_of(plan_for(duration_s=50.0), *snapshots)
    table = render(outcome, outcome.seconds(), None)
    cells = [list(column.cells) for column in table.columns]
    assert len(str(cells[2][1])) == live.SPARK_SECONDS
    assert table.row_count == 9
    assert str(cells[2][0]) == "0 s left", "a run that is late has no negative time"


def test_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where output is no terminal there are plain lines, one every few seconds, never broken."""
    text = console(monkeypatch, terminal=False, width=40)
    now_s = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now_s[0])
    with LiveView("http://127.0.0.1:1") as view:
        view.show(grown())
        now_s[0] += live.LINE_S
        view.show(outcome_of(plan_for()))  # nothing told yet
        assert text.getvalue() == ""
        for _ in range(3):
            view.show(grown())
    assert text.getvalue().count("\n") == 1
    assert text.getvalue().strip() == line(grown(), grown().seconds(), None).strip()
    assert "\x1b" not in text.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that is quiet shows nothing, and asks nobody anything."""
    text = console(monkeypatch, terminal=terminal)
    monkeypatch.setattr(live, "LINE_S", 0.0)
    monkeypatch.setattr(LiveView, "backlog", lambda _: pytest.fail("it asks"))
    with LiveView("http://127.0.0.1:1", quiet=True) as view:
        for _ in range(3):
            view.show(grown())
    assert text.getvalue() == ""


@pytest.mark.parametrize(
    ("terminal", "setting", "interval_s", "shown", "times"),
    [
        pytest.param(False, "LINE_S", 0.0, "\n", 3, id="another line when it is time"),
        pytest.param(True, "FRAME_S", 60.0, "lost connections", 1, id="a picture now and then"),
    ],
)
def test_how_often(
    terminal: bool,
    setting: str,
    interval_s: float,
    shown: str,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is shown takes time from what is measured: it is shown when it is time to."""
    text = console(monkeypatch, terminal=terminal)
    monkeypatch.setattr(live, setting, interval_s)
    with LiveView("http://127.0.0.1:1") as view:
        for _ in range(3):
            view.show(grown())
        assert text.getvalue().count(shown) == times


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the table is drawn over itself, and stays when the view ends."""
    text = console(monkeypatch, terminal=True)
    monkeypatch.setattr(live, "FRAME_S", 0.0)
    with LiveView("http://127.0.0.1:1") as view:
        for _ in range(3):
            view.show(grown())
        drawn = text.getvalue()
    assert drawn.count("lost connections") == 3
    assert drawn.count("\x1b[1A") >= 2 * 8, "it goes back up before each further drawing"
    assert "▅█▁" in drawn
    assert text.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


async def test_backlog(target: Target) -> None:
    """The backlog is read from a gateway's metrics."""
    assert await asyncio.to_thread(LiveView(target.url).backlog) == 0


@pytest.mark.parametrize(
    ("answer", "backlog"),
    [
        (reply(200, PAGE), 1_234),
        (reply(200, b""), None),
        (reply(404, b"not found"), None),
        (reply(200, b"contox_ingest_backlog_entries_more 7\n"), None),
        (None, None),
    ],
    ids=["metrics", "empty", "404", "no-metric", "cut"],
)
async def test_backlog_of(answer: bytes | None, backlog: int | None) -> None:
    """A page without the figure, or none at all, leaves the backlog unknown."""
    async with answering(always(answer)) as stub:
        view = LiveView(f"http://127.0.0.1:{stub.port}")
        assert await asyncio.to_thread(view.backlog) == backlog


async def test_slow_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that does not answer holds the view up for a bounded time."""
    monkeypatch.setattr(live, "METRICS_TIMEOUT_S", 0.1)
    async with answering(always(reply(200, PAGE), delay_s=60)) as stub:
        view = LiveView(f"http://127.0.0.1:{stub.port}")
        assert await asyncio.wait_for(asyncio.to_thread(view.backlog), 20) is None
