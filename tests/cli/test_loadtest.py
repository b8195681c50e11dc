"""The command as people run it: whole runs as processes on stacks of their own; errors in here.

What needs a gateway only runs against one stack that lives as long as this module; what needs odd
answers against a stub.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.throwaway import Throwaway, throwaway
from tests.cli.conftest import Command, Spawn, ended, until
from tests.loadtest.commands import Options, complaint, finished, passing, read, write_report
from tests.loadtest.conftest import Answered, always, refusal, reply
from tests.loadtest.test_html import Reader

SHORT = ("--duration", 0.5, "--rate", 100)

on_the_stack = pytest.mark.xdist_group("loadtest")


@pytest.fixture(scope="module")
def stack() -> Iterator[Throwaway]:
    """A stack that runs as long as this module."""
    with throwaway() as running:
        yield running


@pytest.fixture
def at(stack: Throwaway) -> Options:
    """The options that mean the stack's gateway."""
    return ("--url", stack.url, "--project", stack.project, "--secret", stack.secret)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where stacks put their data; at the end of each test nothing is there."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    yield path
    assert list(path.iterdir()) == []


def test_fresh(spawn: Spawn, tmp_path: Path, temporary: Path) -> None:
    """Without a target a stack is started and measured: acknowledged is stored, files are there."""
    files = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    run = ("loadtest", "--duration", 3, "--rate", 500, "--verify", *files)
    result = finished(spawn(*run, TMPDIR=str(temporary)))
    assert result.status == 0, result.err
    report = read(tmp_path / "a.json")
    counts, verify = report["counts"], report["verify"]
    assert counts["offered"] == counts["accepted"] == counts["events"] == 1_500
    assert verify["acknowledged"] == verify["stored"] == 1_500
    assert verify["holds"]
    assert (report["partial"], report["loop"]) == (False, "open")
    assert report["requestsPerS"] == pytest.approx(500, rel=0.01)
    page = Reader((tmp_path / "a.html").read_text())
    assert page.tags.count("svg") == 3
    assert "Acknowledged 1,500, stored 1,500" in page.text
    assert "acknowledged 1,500 = stored 1,500 (of them 0 without" in result.out
    assert re.search(r"^accepted +1,500 requests, 1,500 events", result.out, re.MULTILINE)
    first, *lines = result.err.splitlines()
    assert first == "No --url: measuring a throw-away stack on this machine."
    assert lines
    assert all(re.match(r" +[\d.]+ s  [\d,]+ requests/s  p50 .* backlog [\d?]", x) for x in lines)


def test_ctrl_c(spawn: Spawn, tmp_path: Path, temporary: Path) -> None:
    """Ctrl-C half-way leaves a partial report that is proven all the same, and no process."""
    files = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
    run = ("loadtest", "--duration", 60, "--rate", 200, "--processes", 2, "--verify", *files)
    child = spawn(*run, TMPDIR=str(temporary))
    until(lambda: re.search(r"accepted [2-9]\d\d", child.err) or child.process.poll(), 60)
    processes = psutil.Process(child.process.pid).children(recursive=True)
    assert len(processes) >= 6, "two senders, `up` and its three parts"
    os.killpg(child.process.pid, signal.SIGINT)
    result = finished(child)
    assert complaint(result) == "The run ended early; the report is partial."
    assert "Traceback" not in result.err
    until(lambda: all(map(ended, processes)))
    report = read(tmp_path / "a.json")
    assert (report["partial"], report["verify"]["holds"]) == (True, True)
    assert 0 < report["counts"]["accepted"] == report["verify"]["stored"] < 12_000
    assert 0 < report["durationS"] < 55
    assert "this report is partial" in Reader((tmp_path / "a.html").read_text()).text


def test_chaos(spawn: Spawn, tmp_path: Path, temporary: Path) -> None:
    """Gateway and worker are killed under load, and nothing acknowledged is lost."""
    chaos = ("--chaos", "gateway,worker", "--every", "1s", "--seed", 3, "--verify")
    run = ("loadtest", "--duration", 4, "--rate", 200, *chaos, "--json", tmp_path / "a.json")
    result = finished(spawn(*run, TMPDIR=str(temporary)))
    assert result.status == 0, result.err
    report = read(tmp_path / "a.json")
    assert {kill.partition(" at ")[0] for kill in report["kills"]} == {"gateway", "worker"}
    assert len(report["kills"]) >= 2
    assert f"{len(report['kills'])}: {report['kills'][0]}" in result.out
    counts, verify = report["counts"], report["verify"]
    assert counts["connection_errors"] > 0
    assert counts["retried"] > 0
    assert counts["accepted"] == counts["offered"] == verify["acknowledged"] == 800
    assert verify["holds"]
    assert verify["stored"] + verify["dead_lettered"] == 800


@on_the_stack
async def test_target(command: Command, at: Options, stack: Throwaway, tmp_path: Path) -> None:
    """A gateway somewhere is measured, and verified in the store that the options name."""
    environ = stack.environ()
    where = (
        *("--database-url", environ["CONTOX_DATABASE_URL"]),
        *("--redis-url", environ["CONTOX_REDIS_URL"]),
    )
    how = ("--profile", "mixed", "--batch-size", 5, "--gzip", "--arrivals", "poisson", "--seed", 9)
    cure = ("--retries", 2, "--timeout", 5)
    more = ("--connections", 8, "--payload-bytes", 100, "--verify", "--json", tmp_path / "a.json")
    result = await command("loadtest", *at, *SHORT, *how, *cure, *where, *more)
    assert (result.status, result.err.count("No --url")) == (0, 0)
    report = read(tmp_path / "a.json")
    assert (report["plan"]["attempts_max"], report["plan"]["request_timeout_s"]) == (3, 5)
    plan, counts, verify = report["plan"], report["counts"], report["verify"]
    names = ("profile", "batch_size", "gzip", "arrivals", "seed", "connections", "payload_bytes")
    assert [plan[name] for name in names] == ["mixed", 5, True, "poisson", 9, 8, 100]
    assert (plan["url"], plan["rate_s"], plan["duration_s"]) == (stack.url, 100, 0.5)
    assert counts["accepted"] == counts["offered"] > 20
    assert counts["events"] == verify["acknowledged"] == verify["stored"] > counts["accepted"]
    assert verify["holds"]
    assert stack.secret not in result.out + (tmp_path / "a.json").read_text()


@on_the_stack
async def test_max(command: Command, stack: Throwaway, tmp_path: Path) -> None:
    """--max is a closed loop and says so; target and credentials may be in the environment."""
    environ = {"CONTOX_PROJECT": stack.project, "CONTOX_SECRET": stack.secret}
    run = ("--max", "--duration", 0.5, "--connections", 2, "--json", tmp_path / "a.json")
    result = await command("loadtest", *run, CONTOX_URL=stack.url + "/", **environ)
    assert result.status == 0
    report = read(tmp_path / "a.json")
    assert (report["loop"], report["plan"]["rate_s"]) == ("closed", None)
    assert report["counts"]["accepted"] > 50
    assert result.out.startswith("closed loop")
    assert "warning: Closed loop (--max): a stall" in result.err


@on_the_stack
async def test_hostile(command: Command, at: Options, tmp_path: Path) -> None:
    """A real gateway answers a hostile load by the contract."""
    run = ("--profile", "hostile", "--duration", 1.5, "--rate", 100, "--json", tmp_path / "a.json")
    result = await command("loadtest", *at, *run)
    assert result.status == 0, result.err
    counts = read(tmp_path / "a.json")["counts"]
    assert counts["wrong"] == {}
    assert counts["refused"].keys() == {"400 invalid_json", "401 unauthorized", "413 too_large"}
    assert re.search(r"^against the contract +none", result.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("answered", "options", "says"),
    [
        (refusal(401, "unauthorized"), (), "No request was accepted: 50 x 401 unauthorized."),
        (reply(), ("--profile", "hostile"), "Hostile requests were answered otherwise than"),
    ],
)
async def test_bad_target(
    command: Command, tmp_path: Path, answered: bytes, options: Options, says: str
) -> None:
    """A target that takes nothing, or what it must not, is one sentence after the report."""
    async with passing(always(answered)) as at_stub:
        run = (*at_stub, *SHORT, *options, "--json", tmp_path / "a.json")
        result = await command("loadtest", *run)
    assert complaint(result).startswith(says)
    assert read(tmp_path / "a.json")["counts"]["offered"] == 50


async def test_sweep(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep doubles and halves its way to the knee; the report is the knee's trial."""
    monkeypatch.setattr("loadtest.sweep.BISECTIONS", 1)
    seen: Counter[bytes] = Counter()

    async def limited(request: bytes) -> Answered:
        (run,) = re.findall(rb'"lt-([0-9a-f]{8})-', request)
        seen[run] += 1
        return reply() if seen[run] <= 87 else refusal(503, "overloaded")

    async with passing(limited) as at_stub:
        files = ("--json", tmp_path / "a.json", "--html", tmp_path / "a.html")
        run = ("--sweep", "--rate", 100, "--duration", 0.5, "--p99-ms", 20_000)
        result = await command("loadtest", *at_stub, *run, *files)
    assert result.status == 0, result.err
    report = read(tmp_path / "a.json")
    trials = [(trial["rate_s"], trial["good"]) for trial in report["sweep"]]
    assert trials == [(100, True), (200, False), (150, True)]
    assert list(seen.values()) == [50, 100, 75]
    assert (report["plan"]["rate_s"], report["counts"]["accepted"]) == (150, 75)
    assert "knee: 150 requests/s with a p99 of" in result.out
    assert [line.rpartition(", ")[2] for line in result.err.splitlines() if "/s: p99" in line] == [
        "good",
        "too much",
        "good",
    ]
    assert Reader((tmp_path / "a.html").read_text()).tags.count("svg") == 4


@on_the_stack
async def test_wrong_secret(command: Command, at: Options) -> None:
    """A wrong secret is one sentence that says what to check, before any load."""
    result = await command("loadtest", *at[:-1], "whsec_wrong")
    assert complaint(result).startswith("The gateway refused the credentials: check project")
    assert result.out == ""


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("path", ["", "nowhere/a"])
async def test_unwritable(command: Command, tmp_path: Path, option: str, path: str) -> None:
    """A report that cannot be written is said before anything is started."""
    result = await command("loadtest", option, tmp_path / path)
    assert re.fullmatch(rf"The report {tmp_path / path} cannot be written: .*\.", complaint(result))
    assert result.err.count("\n") == 1


NOWHERE = ("--url", "http://127.0.0.1:1", "--project", "proj_1", "--secret", "whsec_test")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (NOWHERE, "Nothing answers at http://127.0.0.1:1: "),
        (NOWHERE[:2], "--url needs --project and --secret"),
        (NOWHERE[:4], "--url needs --project and --secret"),
        (("--max", "--rate", 5), "--max and --rate exclude each other"),
        ((*NOWHERE, "--chaos", "gateway"), "--chaos "),
        ((*NOWHERE, "--every", "soon"), "--every: 'soon' is not a number of seconds"),
    ],
)
async def test_options(command: Command, options: Options, says: str) -> None:
    """A target that is not there and options that cannot be meant are one sentence."""
    result = await command("loadtest", *options)
    assert complaint(result).startswith(says)
    assert (result.out, result.err.count("\n")) == ("", 1)


async def test_unknown_part(command: Command) -> None:
    """A part that there is not is one sentence; no stack is left of it."""
    result = await command("loadtest", "--chaos", "gateway,database")
    assert complaint(result) == "--chaos: database is none of gateway, worker, redis."


@pytest.mark.parametrize(
    "options",
    [
        ("--rate", 0),
        ("--duration", "x"),
        ("--profile", "kind"),
        ("--processes", 65),
        ("--retries", -1),
    ],
)
async def test_limits(command: Command, options: Options) -> None:
    """An option out of its range is refused by its name, with status 2."""
    result = await command("loadtest", *options)
    assert (result.status, result.out) == (2, "")
    assert str(options[0]) in result.err


async def test_compare(command: Command, tmp_path: Path) -> None:
    """Two reports are shown side by side, with the change and what was set differently."""
    old = write_report(tmp_path / "old.json", 1_000)
    new = write_report(tmp_path / "new.json", 800, gzip=True, run="ffffffff")
    result = await command("loadtest", "compare", old, new)
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["figure", "old.json", "new.json", "change"]
    assert ["requests/s", "500.0", "400.0", "-20.0%"] in lines
    assert ["p99.9", "ms", "1.5", "1.5", "+0.0%"] in lines
    assert result.out.splitlines()[-1] == "The runs differ in gzip: False and True"
    assert "differ" not in (await command("loadtest", "compare", old, old)).out


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b'{"a":1}', b"\xff"])
async def test_compare_no_report(command: Command, tmp_path: Path, content: bytes | None) -> None:
    """A file that is no report, or not there, is one sentence that names it."""
    good, bad = write_report(tmp_path / "good.json", 1), tmp_path / "bad.json"
    if content is not None:
        bad.write_bytes(content)
    for pair in ((good, bad), (bad, good)):
        result = await command("loadtest", "compare", *pair)
        assert complaint(result).startswith(f"{bad} is no report")
        assert result.out == ""
