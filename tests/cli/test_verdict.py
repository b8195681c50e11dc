"""What is printed of a report, and which reports end the command with which sentence."""

from typing import Any

import pytest

from cli.errors import CliError
from cli.verdict import end, print_summary
from loadtest.report import Trial, build
from loadtest.verify import Verdict
from tests.loadtest.conftest import outcome_of, plan_for, told

PLAN = plan_for(rate_s=500.0, duration_s=2.0)
FOUR = {
    "lost": ["lt-1"],
    "altered": ["lt-2"],
    "duplicated": ["lt-3"],
    "never_sent": ["lt-4", "lt-5"],
}


def report_of(**counted: object) -> dict[str, Any]:
    """A run of two seconds with these counts."""
    counted = {"accepted": 1_000, "events": 2_500, "offered": 1_010, "sent": 1_005, **counted}
    snapshot = told(elapsed_s=2.0, latencies_us=[1_500] * 1_000, last=True, cpu_s=1.0, **counted)
    return build(outcome_of(PLAN, snapshot))


def printed(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """(lines on standard output without repeated spaces, standard error)."""
    print_summary(report)
    out, err = capsys.readouterr()
    return [" ".join(line.split()) for line in out.splitlines()], err


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """A summary has what was accepted, how fast, and what became of the rest."""
    report = report_of(
        refused={"503 backlog_full": 4, "401 unauthorized": 1_200},
        retried=7,
        connection_errors=3,
        unknown=2,
        unanswered=1,
    )
    lines, err = printed(report, capsys)
    assert lines == [
        "open loop 2 s",
        "accepted 1,000 requests, 2,500 events",
        "throughput 500.0 requests/s, 1,250.0 events/s",
        "latency, ms p50 1.5 p90 1.5 p99 1.5 p99.9 1.5 max 1.5",
        "offered, sent 1,010, 1,005",
        "refused 4 x 503 backlog_full, 1,200 x 401 unauthorized",
        "retried 7",
        "connection errors 3",
        "without an answer 3",
        "senders' CPU 50%",
    ]
    assert err == ""


def test_nothing_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing was refused it says so; there is no line about what was not asked for."""
    lines, _ = printed(report_of(), capsys)
    assert "refused none" in lines
    assert not [line for line in lines if line.startswith(("kills", "against", "knee", "ack"))]


def test_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """What a reader must know is on standard error, each in a line."""
    lines, err = printed({**report_of(), "warnings": ["One.", "Two " * 80]}, capsys)
    assert err.splitlines() == ["warning: One.", "warning: " + "Two " * 80]
    assert len(lines) == 10


@pytest.mark.parametrize(("wrong", "shown"), [({}, "none"), ({"bomb: 202 ": 3}, "3 x bomb: 202")])
def test_hostile(wrong: dict[str, int], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A hostile run says what was answered against the contract, be it nothing."""
    report = report_of(wrong=wrong)
    report["plan"]["profile"] = "hostile"
    lines, _ = printed(report, capsys)
    assert f"against the contract {shown}" in lines


def test_kills(capsys: pytest.CaptureFixture[str]) -> None:
    """Kills are listed with their times."""
    report = {**report_of(), "kills": ["gateway at 1.0 s", "redis at 2.0 s"]}
    assert "kills 2: gateway at 1.0 s, redis at 2.0 s" in printed(report, capsys)[0]


@pytest.mark.parametrize(
    ("good", "says"),
    [
        ((100.0, 200.0, 150.0), "knee: 200 requests/s with a p99 of 200.0 ms"),
        ((100.0,), "knee: 100 requests/s with a p99 of 100.0 ms"),
        ((), "knee: below the first rate; begin with a lower --rate"),
    ],
)
def test_knee(good: tuple[float, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep's knee is its best good trial; without one there is advice."""
    trials = [Trial(rate, rate, rate, 0, good=True) for rate in good]
    trials.append(Trial(400.0, 300.0, 900.0, 5, good=False))
    report = build(outcome_of(PLAN, told(accepted=1)), trials=trials)
    assert says in printed(report, capsys)[0]


def test_proof(capsys: pytest.CaptureFixture[str]) -> None:
    """The proof is one line of counts, and a line of ids for each kind of fault."""
    verdict = Verdict(
        acknowledged=1_000,
        stored=998,
        dead_lettered=2,
        unacknowledged=3,
        lost=1,
        duplicated=1,
        altered=1,
        never_sent=2,
        ids={**FOUR, "other": []},
    )
    lines, err = printed({**report_of(), "verify": _verify(verdict)}, capsys)
    assert lines[-1] == (
        "acknowledged 1,000 = stored 998 (of them 3 without an acknowledgement) + dead letters 2:"
        " 1 lost, 1 duplicated, 1 altered, 2 never sent"
    )
    assert err.splitlines() == [
        "lost: lt-1",
        "altered: lt-2",
        "duplicated: lt-3",
        "never_sent: lt-4, lt-5",
    ]


def _verify(verdict: Verdict) -> Any:
    """A verdict as it is in a report."""
    return build(outcome_of(PLAN), verdict=verdict)["verify"]


@pytest.mark.parametrize(
    "report",
    [
        report_of(),
        report_of(refused={"503 backlog_full": 5}, unknown=3),
        {**report_of(), "verify": _verify(Verdict(acknowledged=5, stored=5, unacknowledged=2))},
    ],
    ids=["plain", "refused", "verified"],
)
def test_good_end(report: dict[str, Any]) -> None:
    """A run that went as it should ends with status 0; what was refused is in its report."""
    end(report)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"verify": _verify(Verdict(lost=1))}, "The proof failed"),
        ({"verify": _verify(Verdict(duplicated=1))}, "The proof failed"),
        ({"verify": _verify(Verdict(altered=1))}, "The proof failed"),
        ({"verify": _verify(Verdict(never_sent=1))}, "The proof failed"),
        ({"partial": True}, "The run ended early; the report is partial."),
        ({"partial": True, "verify": _verify(Verdict(lost=1))}, "The proof failed"),
        ({"counts": report_of(wrong={"bomb: 202 ": 1})["counts"]}, "otherwise than the contract"),
        (
            {"counts": report_of(accepted=0, refused={"401 unauthorized": 9})["counts"]},
            "No request was accepted: 9 x 401 unauthorized.",
        ),
        ({"counts": report_of(accepted=0)["counts"]}, "No request was accepted: none."),
    ],
)
def test_bad_end(changed: dict[str, Any], says: str) -> None:
    """A run that did not go as it should ends with one sentence; a failed proof comes first."""
    with pytest.raises(CliError, match=says) as raised:
        end({**report_of(), **changed})
    assert "\n" not in str(raised.value)
