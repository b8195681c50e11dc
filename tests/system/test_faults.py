"""The short form of the fault suite: every kind of fault once, and the scenarios, as facts.

The parts run beside each other, two at a time, and are read as they end: the suite mostly waits.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.system import chaos, kinds

pytestmark = pytest.mark.xdist_group("faults")
LANES = 2
Result = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def result() -> Iterator[Result]:
    """What a part has found; the first call starts them all."""
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(LANES) as lanes:
        running: dict[str, Future[dict[str, Any]]] = {
            name: lanes.submit(run, name, Path(directory) / f"{name}.json") for name in chaos.SHORT
        }
        yield lambda name: running[name].result()


def run(name: str, file: Path) -> dict[str, Any]:
    """Run a part to its end. Fails with what it has printed if it has no result."""
    command, log = chaos.part_command(name, "short", chaos.SEED, file), file.with_suffix(".log")
    with log.open("wb") as output:
        chaos.run_bounded(command, chaos.PART_S["short"], output)
    assert file.exists(), log.read_text()
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


@pytest.mark.parametrize("fault", [fault.name for fault in kinds.ON_NETWORK])
def test_network(result: Result, fault: str) -> None:
    """After the fault an event is accepted and stored, with nobody doing anything for it."""
    assert [row["wrong"] for row in result("network")["rows"] if row["fault"] == fault] == [""]


@pytest.mark.parametrize("fault", [fault.name for fault in kinds.ON_DISKS])
def test_disks(result: Result, fault: str) -> None:
    """With a spool and small disks: the same, and what may not be promised is refused."""
    assert [row["wrong"] for row in result("disks")["rows"] if row["fault"] == fault] == [""]


@pytest.mark.parametrize("campaign", ["network", "disks"])
def test_conservation(result: Result, campaign: str) -> None:
    """After all faults: nothing acknowledged is lost, doubled or altered; all is answered."""
    checks = result(campaign)["checks"]
    assert len(checks) == 3
    assert not any(checks.values()), checks


def test_store_outage(result: Result) -> None:
    """A store outage is unseen by producers, and drained in order."""
    assert result("outage")["wrong"] == []


def test_losses_are_told(result: Result) -> None:
    """What a deleted stream and an emptied queue lose is told by the proof and by the product."""
    assert result("losses")["wrong"] == []
