"""For the tests of the command: targets that pass the probe, reports, and how a run ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from loadtest.report import build
from tests.cli.conftest import Child, Result
from tests.loadtest.conftest import (
    Answer,
    Answered,
    answering,
    outcome_of,
    plan_for,
    refusal,
    told,
)

WAIT_S = 120
Options = tuple[object, ...]


@asynccontextmanager
async def passing(answer: Answer) -> AsyncIterator[Options]:
    """The options that mean a stub which lets the probe pass."""

    async def after_the_probe(request: bytes) -> Answered:
        probed = request.endswith(b"\r\n\r\n[]")
        return refusal(400, "empty_batch") if probed else await answer(request)

    async with answering(after_the_probe) as stub:
        url = f"http://127.0.0.1:{stub.port}"
        yield ("--url", url, "--project", "proj_1", "--secret", "whsec_test")


def read(path: Path) -> Any:
    """A report that was written."""
    return orjson.loads(path.read_bytes())


def complaint(result: Result) -> str:
    """The one sentence that ends a command with status 1; fails if there is more to see."""
    assert result.status == 1
    (*progress, last) = result.err.splitlines()
    for line in progress:
        assert line.startswith(("No --url:", "  ", "warning: ")), result.err
    name, _, sentence = last.partition(": ")
    assert name == "contox-ingest"
    return sentence


def finished(child: Child) -> Result:
    """Wait for the end of a whole run."""
    child.process.wait(WAIT_S)
    return child.wait()


def write_report(path: Path, accepted: int, **changed: object) -> Path:
    """A report as a run of two seconds leaves it behind."""
    plan = plan_for(rate_s=500.0, duration_s=2.0, **changed)
    snapshot = told(elapsed_s=2.0, accepted=accepted, events=accepted, latencies_us=[1_500] * 9)
    path.write_bytes(orjson.dumps(build(outcome_of(plan, snapshot))))
    return path
