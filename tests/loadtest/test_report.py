"""Reports built from outcomes that were fed by hand, as data and as the JSON that is written."""

import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadtest import report as module
from loadtest.report import Trial, build, commit, compare, curve, environment, warnings
from loadtest.verify import Verdict
from tests.loadtest.conftest import SECRET, outcome_of, plan_for, told

LATENCIES_US = [1_000 * n for n in range(1, 101)]
CLOSED = plan_for(rate_s=None, duration_s=2.0)
OPEN = plan_for(rate_s=500.0, duration_s=2.0)


def finished(**counted: object) -> dict[str, Any]:
    """The report of a run of two seconds."""
    counted = {"accepted": 1_000, "events": 3_000, "sent_bytes": 8_000, **counted}
    snapshots = [
        told(elapsed_s=1.0, latencies_us=LATENCIES_US, accepted=400, events=1_200),
        told(elapsed_s=2.3, latencies_us=LATENCIES_US, last=True, cpu_s=0.46, **counted),
    ]
    return build(outcome_of(OPEN, *snapshots))


def test_figures() -> None:
    """Throughput is what was accepted over the plan's duration, not the wait for last answers."""
    report = finished()
    assert report["durationS"] == 2
    assert (report["requestsPerS"], report["eventsPerS"]) == (500, 1_500)
    assert report["bytesPerS"] == 4_000
    assert report["latencyMs"] == pytest.approx(
        {"p50": 50, "p90": 90, "p99": 99, "p99.9": 100, "max": 100}, rel=0.002
    )
    assert report["senderCpu"] == {"0": 0.2}
    assert (report["loop"], report["partial"], report["warnings"]) == ("open", False, [])
    assert report["startedAt"] == "2023-11-14T22:13:20+00:00"


def test_ended_early() -> None:
    """A run that ended early is measured by the time it ran, and says that it is partial."""
    outcome = outcome_of(OPEN, told(elapsed_s=0.5, accepted=100, last=True))
    outcome.partial = True
    report = build(outcome)
    assert report["partial"]
    assert (report["durationS"], report["requestsPerS"]) == (0.5, 200)
    assert "partial" in report["warnings"][0]


def test_seconds() -> None:
    """The run's seconds hold what was answered in each."""
    seconds = finished()["seconds"]
    assert [(s["at_s"], s["requests"], s["events"]) for s in seconds] == [
        (0, 400, 1_200),
        (2, 600, 1_800),
    ]


def test_secret() -> None:
    """The project's secret is nowhere in the JSON; that there is one is."""
    text = orjson.dumps(finished())
    assert SECRET.encode() not in text
    assert orjson.loads(text)["plan"]["secret"] == "***"


def test_settings() -> None:
    """The JSON has all settings of the run, its seed, and where it was measured."""
    report = orjson.loads(orjson.dumps(finished()))
    plan = report["plan"]
    assert (plan["seed"], plan["rate_s"], plan["duration_s"], plan["profile"]) == (
        0,
        500,
        2,
        "single",
    )
    assert plan.keys() == set(OPEN.__struct_fields__)
    assert report["environment"] == environment()
    assert report["format"] == module.FORMAT


def test_environment() -> None:
    """The machine, the versions and the commit are named."""
    found = environment()
    assert found["cores"] >= 1
    for name in ("cpu", "system", "python", "version"):
        assert found[name], name
    tree = Path(module.__file__).parent
    head = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(head, capture_output=True, text=True, check=False)
    assert found["commit"] == (asked.stdout.strip() or None)


@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_no_git(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Without git there is no commit, and no error."""
    monkeypatch.setenv("PATH", path)
    assert commit() is None


def test_nothing_measured() -> None:
    """A run without an answer has zeros for latencies, and no curve."""
    report = build(outcome_of(OPEN))
    assert set(report["latencyMs"].values()) == {0.0}
    assert report["curve"] == report["seconds"] == []
    assert report["requestsPerS"] == 0
    orjson.dumps(report)


def test_curve() -> None:
    """The percentile curve ascends from the least latency to the greatest."""
    points = curve(outcome_of(OPEN, told(latencies_us=LATENCIES_US)))
    assert [percentile for percentile, _ in points] == list(module.CURVE)
    latencies = [ms for _, ms in points]
    assert latencies == sorted(latencies)
    assert (latencies[0], latencies[-1]) == (pytest.approx(1), pytest.approx(100, rel=0.002))
    assert dict(points)[50] == pytest.approx(50, rel=0.01)


def test_no_warnings() -> None:
    """An open loop that ended as planned has nothing to warn of."""
    assert warnings(outcome_of(OPEN, told(cpu_s=0.85, elapsed_s=1.0))) == []


def test_warnings() -> None:
    """A closed loop, a saturated sender, skipped requests: each is said in a sentence."""
    snapshots = [told(0, cpu_s=0.1), told(1, cpu_s=0.95, elapsed_s=1.0, skipped=1_234)]
    closed, saturated, skipped = warnings(outcome_of(CLOSED, *snapshots))
    assert "Closed loop" in closed
    assert "stall" in closed
    assert "sender" in saturated
    assert "not the target" in saturated
    assert "1,234 requests" in skipped


def test_closed_loop() -> None:
    """A closed loop says so."""
    assert build(outcome_of(CLOSED, told()))["loop"] == "closed"


def test_verdict() -> None:
    """The proof is in the report with its counts and ids, and whether it holds."""
    bad = Verdict(acknowledged=3, lost=1, ids={"lost": ["lt-1"]})
    report = build(outcome_of(OPEN), verdict=bad)["verify"]
    assert (report["holds"], report["lost"], report["ids"]) == (False, 1, {"lost": ["lt-1"]})
    assert build(outcome_of(OPEN), verdict=Verdict())["verify"]["holds"]
    assert build(outcome_of(OPEN))["verify"] is None


def test_sweep_and_kills() -> None:
    """Trials and kills are in the report as they came."""
    trial = Trial(rate_s=100.0, accepted_s=99.0, p99_ms=3.0, errors=0, good=True)
    report = build(outcome_of(OPEN), trials=[trial], kills=["gateway at 1.0 s"])
    assert report["sweep"] == [
        {"rate_s": 100.0, "accepted_s": 99.0, "p99_ms": 3.0, "errors": 0, "good": True}
    ]
    assert report["kills"] == ["gateway at 1.0 s"]


def test_compare() -> None:
    """Two reports compare figure by figure, with the change where there is one to take."""
    old, new = finished(), finished(accepted=1_500, retried=3)
    rows = {row[0]: row[1:] for row in compare(old, new)}
    assert rows["requests/s"] == ("500.0", "750.0", "+50.0%")
    assert rows["events/s"] == ("1,500.0", "1,500.0", "+0.0%")
    assert rows["p50 ms"][2] == "+0.0%"
    assert rows["retried"] == ("0", "3", "")
    assert rows["accepted"] == ("1,000", "1,500", "+50.0%")
    assert {"p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"} <= rows.keys()
    back = {row[0]: row[3] for row in compare(new, old)}
    assert back["requests/s"] == "-33.3%"
    assert back["retried"] == "-100.0%"
