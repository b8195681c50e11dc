"""The command line and the order of a run."""

import json
from pathlib import Path

import pytest

from bench import run
from bench.rounds import Plan


def test_parse() -> None:
    """Without arguments all cases run, three rounds of four seconds."""
    assert vars(run.parse([])) == {"only": None, "rounds": 3, "seconds": 4}
    options = run.parse(["--only", "micro", "--only", "idle", "--rounds", "5", "--seconds", "2"])
    assert vars(options) == {"only": ["micro", "idle"], "rounds": 5, "seconds": 2}


def test_main(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run prints its tables and writes them, and all of its figures as JSON."""
    monkeypatch.setattr(run, "BUILD", tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "micro", "--rounds", "1"])
    assert run.main() == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    assert list(report["cases"]) == ["micro"]
    assert report["command"] == "make bench 'ARGS=--only micro --rounds 1'"
    text = (tmp_path / "bench.md").read_text()
    assert text == capsys.readouterr().out
    assert "core.auth.verify" in text


def test_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A case that fails is told, the others run, and the exit status is 1; a missed bar is none."""
    monkeypatch.setattr(run, "BUILD", tmp_path)
    monkeypatch.setitem(run.CASES, "idle", "bench.nowhere")
    monkeypatch.setattr("sys.argv", ["bench", "--only", "idle", "--only", "micro", "--rounds", "1"])
    assert run.main() == 1
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["failed"] == {"idle": "ModuleNotFoundError: No module named 'bench.nowhere'"}
    assert list(report["cases"]) == ["micro"]


def test_plan_reaches_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds and seconds are those that were asked for."""
    seen: list[Plan] = []

    def measure(plan: Plan) -> dict[str, object]:
        seen.append(plan)
        return {"title": "x", "rows": {}}

    monkeypatch.setattr(run, "case", lambda _module: measure)
    run.measure_all(["micro"], Plan(5, 6))
    assert seen == [Plan(5, 6)]
