"""What the doctor says of this host: disk, spool, open files, and roles that run here."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest
from aiohttp import web

from cli import checks_host
from cli.checks_host import (
    CHECKS,
    Host,
    batch_seconds,
    check_claims,
    check_disk,
    check_files,
    check_gateway,
    check_spool,
    check_worker,
    judge_disk,
    judge_files,
    judge_kernels,
)
from cli.findings import Status, examine
from core.metrics import Meter, Metric
from core.settings import read
from runtime.status import status_routes
from tests.cli.conftest import free_port
from tests.cli.flow import one

HOLDS, WARNING, BROKEN, UNCHECKED = Status
GIB = 1 << 30


def host_of(url: str = "", database: Path | None = None, **changed: str) -> Host:
    """A host under settings, given without their prefix; both roles at one URL."""
    settings = read({f"CONTOX_{k.upper()}": v for k, v in changed.items()})
    return Host(settings, database, url, url)


@asynccontextmanager
async def serving(routes: list[web.RouteDef]) -> AsyncIterator[str]:
    """A server of these routes; its URL."""
    app = web.Application()
    app.router.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_nothing_here(tmp_path: Path) -> None:
    """A host where nothing runs, and that stores nothing, breaks no promise."""
    found = await examine("host", CHECKS, host_of(f"http://127.0.0.1:{free_port()}"))
    assert BROKEN not in {f.status for f in found}
    assert [f.promise for f in found] == [check.promise for check in CHECKS]


def test_kernels() -> None:
    """Native ones are as they should be; without, a gateway is right, but slow."""
    assert one(judge_kernels(True))[0] is HOLDS
    assert one(judge_kernels(False))[0] is WARNING


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [
        (11 * GIB, 100 * GIB, HOLDS),
        (9 * GIB, 100 * GIB, WARNING),
        (GIB - 1, 5 * GIB, WARNING),
        (1 * GIB, 100 * GIB, BROKEN),
        ((100 << 20) - 1, 1 * GIB, BROKEN),
    ],
)
def test_room(free: int, total: int, status: Status) -> None:
    """Under 10 % or 1 GiB is a warning; under 2 % or 100 MiB breaks the promise."""
    assert one(judge_disk(Path("/d"), free, total))[0] is status


async def test_disk(tmp_path: Path) -> None:
    """The directories of SQLite's file and of the spool are looked at, each once."""
    (tmp_path / "spool").mkdir()
    answers = list(
        await check_disk(host_of(database=tmp_path / "a.db", spool_dir=f"{tmp_path}/spool"))
    )
    assert [a.found.split(", for ")[1] for a in answers] == [str(tmp_path), f"{tmp_path}/spool"]
    same = await check_disk(host_of(database=tmp_path / "a.db", spool_dir=str(tmp_path)))
    assert len(list(same)) == 1
    missing = host_of(database=tmp_path / "none" / "a.db")
    assert one(await check_disk(missing))[1] == "neither SQLite nor a spool is on this host"


async def test_spool(tmp_path: Path) -> None:
    """The spool's size is told against its bound; half is a warning, all of it breaks."""
    assert one(await check_spool(host_of()))[1].startswith("no spool")
    host = host_of(spool_dir=str(tmp_path), spool_bytes_max=str(1 << 20))
    assert one(await check_spool(host)) == (HOLDS, f"0 bytes of 1.0 MiB are in {tmp_path}")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "1").write_bytes(bytes(600_000))
    assert one(await check_spool(host)) == (WARNING, f"585.9 KiB of 1.0 MiB are in {tmp_path}")
    (tmp_path / "2").write_bytes(bytes(600_000))
    assert one(await check_spool(host))[0] is BROKEN


async def test_no_spool_directory(tmp_path: Path) -> None:
    """A spool that is no directory breaks the promise."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        status, found = one(await check_spool(host_of(spool_dir=str(path))))
        assert (status, found.split()[0]) == (BROKEN, str(path))


@pytest.mark.parametrize(
    ("soft", "hard", "status", "command"),
    [
        (10_400, 10_400, HOLDS, ""),
        (10_399, 20_000, WARNING, "ulimit -n 10400"),
        (1_024, resource.RLIM_INFINITY, WARNING, "ulimit -n 10400"),
        (1_024, 4_096, WARNING, "ulimit -Hn 10400"),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, HOLDS, ""),
    ],
)
def test_open_files(soft: int, hard: int, status: Status, command: str) -> None:
    """Connections and a margin fit the limit of open files, or a command raises it."""
    (answer,) = judge_files(soft, hard, 10_000)
    assert (answer.status, answer.command) == (status, command)


async def test_files() -> None:
    """The limits are this process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        status, found = one(await check_files(host_of(connections_max="401")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (status, found) == (WARNING, "500 open files are allowed, for 401 connections")


@pytest.mark.parametrize("check", [check_gateway, check_worker])
async def test_ready(check: Callable[[Host], Awaitable[list[object]]]) -> None:
    """A role that is ready holds; one that is not says why; one that is not there is a note."""
    missing: list[str] = []
    async with serving(status_routes(Meter("worker"), lambda: missing)) as url:
        assert one(await check(host_of(url))) == (HOLDS, f"ready, at {url}")  # type: ignore[arg-type]
        missing += ["The queue is away", "The drain is stopped"]
        told = f"unready, at {url}: The queue is away; The drain is stopped"
        assert one(await check(host_of(url))) == (BROKEN, told)  # type: ignore[arg-type]
    for host in (host_of(url), host_of()):
        assert one(await check(host))[0] is UNCHECKED  # type: ignore[arg-type]


async def test_someone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is none of ours, or never answers, breaks the promise; nothing hangs."""
    monkeypatch.setattr(checks_host, "ASK_TIMEOUT_S", 0.2)

    async def late(_request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    async with serving([]) as url:
        assert one(await check_gateway(host_of(url))) == (
            BROKEN,
            f"{url} answers 404, as none of ours",
        )
    async with serving([web.get("/readyz", late)]) as url:
        told = f"{url} does not answer: not within 0.2 s"
        assert one(await check_gateway(host_of(url))) == (BROKEN, told)


async def claims(*seconds: float, **changed: str) -> tuple[Status, str]:
    """The answer with a worker whose batches took so long."""
    meter = Meter("worker")
    for value in seconds:
        meter.observe(Metric.DRAIN_SECONDS, value)
    async with serving(status_routes(meter, list)) as url:
        return one(await check_claims(host_of(url, **changed)))


async def test_claims() -> None:
    """A worker's batches are told: how many, the average and the slowest, against the setting."""
    assert await claims(0.02, 0.02, 0.2) == (
        HOLDS,
        "a batch takes 80 ms on average, the slowest up to 250 ms (3 batches);"
        " CONTOX_CLAIM_IDLE_S is 60 s",
    )
    assert (await claims())[1] == "CONTOX_CLAIM_IDLE_S is 60 s; no batch was stored yet"


@pytest.mark.parametrize(
    ("seconds", "claim_idle_s", "status"),
    [(2.0, "2", WARNING), (2.0, "10", HOLDS), (7.0, "9", WARNING), (7.0, "60", HOLDS)],
)
async def test_slow_batches(seconds: float, claim_idle_s: str, status: Status) -> None:
    """Batches that take longer than entries may be idle are a warning."""
    assert (await claims(seconds, claim_idle_s=claim_idle_s))[0] is status


async def test_long_gathering() -> None:
    """So is gathering for more than a third of that time, worker or no worker."""
    host = host_of(claim_idle_s="1", drain_age_ms_max="400")
    (answer,) = await check_claims(host)
    assert (answer.status, answer.change) == (WARNING, "Set CONTOX_CLAIM_IDLE_S to 2 or more.")
    for url in ("", f"http://127.0.0.1:{free_port()}"):
        assert one(await check_claims(host_of(url)))[0] is UNCHECKED


def test_no_histogram() -> None:
    """A page without the histogram has no batches; one over the last bound has no upper one."""
    assert batch_seconds("") == (0, 0.0, 0.0)
    name = Metric.DRAIN_SECONDS.full_name
    page = f'# TYPE {name} histogram\n{name}_bucket{{le="5.0"}} 0\n{name}_bucket{{le="+Inf"}} 2\n'
    assert batch_seconds(f"{page}{name}_count 2\n{name}_sum 14\n") == (2, 7.0, inf)


async def test_unix_socket() -> None:
    """A gateway without TCP is a note that says how to ask it."""
    host = host_of(uds="/run/g.sock")
    told = "it listens on /run/g.sock alone; ask it with: contox-ingest ready gateway"
    assert one(await check_gateway(host)) == (UNCHECKED, told)
