"""The doctor's checks of this host: disk, spool, open files, and the roles that run here."""

import asyncio
import os
import resource
import shutil
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import NamedTuple

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from cli.findings import (
    Answer,
    Check,
    broken,
    duration,
    holds,
    size,
    some,
    unchecked,
    warning,
)
from core.metrics import Metric
from core.settings import Settings
from core.usual import NATIVE

FREE_WARNING, FREE_WARNING_BYTES = 0.10, 1 << 30
FREE_BROKEN, FREE_BROKEN_BYTES = 0.02, 100 << 20
FILES_MARGIN = 400  # beside clients' connections: queue, store, logs, listeners
ASK_TIMEOUT_S = 3
SECONDS_SLOWEST = 10.0  # assumed of batches beyond the histogram's last bound


class Host(NamedTuple):
    """This host, as the settings and the data directory name its parts."""

    settings: Settings
    database: Path | None  # the file of SQLite
    gateway_url: str  # empty: it took a port that nobody knows
    worker_url: str

    @property
    def spool(self) -> Path | None:
        """The spool's directory."""
        return Path(self.settings.spool_dir).absolute() if self.settings.spool_dir else None


async def check_disk(host: Host) -> Iterable[Answer]:
    """Free space where this host's files grow."""
    paths = [host.database and host.database.parent, host.spool]
    answers = []
    for path in dict.fromkeys(path for path in paths if path and path.is_dir()):
        usage = await asyncio.to_thread(shutil.disk_usage, path)
        answers += judge_disk(path, usage.free, usage.total)
    return answers or holds("neither SQLite nor a spool is on this host")


def judge_disk(path: Path, free: int, total: int) -> list[Answer]:
    """The answer to a directory whose disk has `free` of `total` bytes."""
    found = f"{size(free)} of {size(total)} are free, {free / total:.0%}, for {path}"
    change, command = "Free space on this disk, or move what is on it.", f"df -h {path}"
    if free < max(total * FREE_BROKEN, FREE_BROKEN_BYTES):
        return broken(found, change, command)
    if free < max(total * FREE_WARNING, FREE_WARNING_BYTES):
        return warning(found, change, command)
    return holds(found)


async def check_spool(host: Host) -> Iterable[Answer]:
    """The spool's directory can be written to, and is not full."""
    path, bound = host.spool, host.settings.spool_bytes_max
    if path is None:
        return holds("no spool: while the queue is away, the answer is 503")
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return broken(
            f"{path} is not a directory that {_user()} can write to",
            "Make it, for the user that runs the gateway.",
            f"install -d -m 700 -o USER {path}",
        )
    used = await asyncio.to_thread(_bytes_in, path)
    found = f"{size(used)} of {size(bound)} are in {path}"
    change = "See that the queue is up: the gateway empties its spool into it by itself."
    if used >= bound:
        return broken(f"{found}; it is full", change)
    return warning(found, change) if used >= bound / 2 else holds(found)


def _bytes_in(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # it has been drained meanwhile
            continue
    return total


def _user() -> str:
    return f"user {os.getuid()}"


async def check_files(host: Host) -> Iterable[Answer]:
    """A process started from here may open as many files as it keeps connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_files(soft, hard, host.settings.connections_max)


def judge_files(soft: int, hard: int, connections_max: int) -> list[Answer]:
    """The answer to limits of open files; RLIM_INFINITY is none."""
    wanted = connections_max + FILES_MARGIN
    found = f"{soft:,} open files are allowed, for {some(connections_max, 'connection')}"
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return holds(found if soft != resource.RLIM_INFINITY else "open files without a limit")
    change = "Raise the limit where gateways are started, or lower CONTOX_CONNECTIONS_MAX"
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return warning(found, f"{change}.", f"ulimit -n {wanted}")
    return warning(found, f"{change}; root alone can go over {hard:,}.", f"ulimit -Hn {wanted}")


async def check_kernels(_host: Host) -> Iterable[Answer]:
    """What is installed here has its kernels compiled."""
    return judge_kernels(NATIVE)


def judge_kernels(native: bool) -> list[Answer]:
    """The answer to kernels that are native, or in Python."""
    if native:
        return holds("the kernels are native")
    return warning(
        "the kernels run in Python: an event takes half as long again",
        "Install a C compiler and the headers of OpenSSL and Python, then contox-ingest again.",
    )


async def check_gateway(host: Host) -> Iterable[Answer]:
    """The gateway on this host, if there is one."""
    if not host.gateway_url and host.settings.port is None:
        return unchecked(
            f"it listens on {host.settings.uds} alone; ask it with: contox-ingest ready gateway"
        )
    return await _readiness(host.gateway_url, "CONTOX_PORT")


async def check_worker(host: Host) -> Iterable[Answer]:
    """The worker on this host, if there is one."""
    return await _readiness(host.worker_url, "CONTOX_WORKER_PORT")


async def _readiness(url: str, setting: str) -> list[Answer]:
    if not url:
        return unchecked(f"{setting} is 0: its port is not known")
    try:
        status, text = await ask(f"{url}/readyz")
    except aiohttp.ClientConnectorError:
        return unchecked(f"nothing listens on {url}: it runs elsewhere, or not at all")
    except (aiohttp.ClientError, TimeoutError) as error:
        return broken(
            f"{url} does not answer: {str(error) or f'not within {ASK_TIMEOUT_S} s'}",
            f"See what listens there, and what it logs; is {setting} right?",
        )
    if status == 200:
        return holds(f"ready, at {url}")
    if status != 503 or '"missing"' not in text:
        return broken(f"{url} answers {status}, as none of ours", f"Set {setting} as the role's.")
    sentences = orjson.loads(text)["missing"]
    return broken(
        f"unready, at {url}: {'; '.join(sentences)}", "See the table of alarms: readiness."
    )


async def ask(url: str) -> tuple[int, str]:
    """(status, text) of a page here. Raises aiohttp.ClientError, TimeoutError."""
    timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
        return answer.status, await answer.text()


async def check_claims(host: Host) -> Iterable[Answer]:
    """CONTOX_CLAIM_IDLE_S against how long a worker keeps its entries."""
    limit_s, age_ms = host.settings.claim_idle_s, host.settings.drain_age_ms_max
    if age_ms > limit_s * 1000 / 3:
        return warning(
            f"CONTOX_CLAIM_IDLE_S is {limit_s} s, a batch gathers for up to {age_ms} ms",
            f"Set CONTOX_CLAIM_IDLE_S to {-(-3 * age_ms // 1000)} or more.",
        )
    if not host.worker_url:
        return unchecked("CONTOX_WORKER_PORT is 0: no worker can be asked how long batches take")
    try:
        status, text = await ask(f"{host.worker_url}/metrics")
    except (aiohttp.ClientError, TimeoutError):
        return unchecked("no worker runs here that tells how long batches take")
    return judge_batches(text if status == 200 else "", limit_s)


def judge_batches(metrics: str, limit_s: int) -> list[Answer]:
    """The answer to a worker's metrics page."""
    batches, average_s, slowest_s = batch_seconds(metrics)
    if not batches:
        return holds(f"CONTOX_CLAIM_IDLE_S is {limit_s} s; no batch was stored yet")
    slowest = "over 5 s" if slowest_s == inf else f"up to {duration(slowest_s)}"
    found = f"a batch takes {duration(average_s)} on average, the slowest {slowest}"
    found += f" ({some(batches, 'batch', 'batches')}); CONTOX_CLAIM_IDLE_S is {limit_s} s"
    least_s = max(3 * average_s, SECONDS_SLOWEST if slowest_s == inf else slowest_s)
    if limit_s < least_s:
        return warning(
            found,
            f"Set CONTOX_CLAIM_IDLE_S to {int(2 * least_s) + 1} or more; or make batches smaller"
            " with CONTOX_DRAIN_EVENTS_MAX.",
        )
    return holds(found)


def batch_seconds(metrics: str) -> tuple[int, float, float]:
    """(batches, average, upper bound of the slowest) from the worker's histogram."""
    name = Metric.DRAIN_SECONDS.full_name
    count = total = below = 0.0
    slowest_s = 0.0
    for family in text_string_to_metric_families(metrics):
        if family.name != name:
            continue
        for sample in family.samples:
            if sample.name == f"{name}_sum":
                total = sample.value
            elif sample.name == f"{name}_bucket":
                if sample.value > below:
                    slowest_s = float(sample.labels["le"])
                count = below = sample.value
    return int(count), total / count if count else 0.0, slowest_s


CHECKS = (
    Check("There is room on the disk", check_disk),
    Check("What the queue cannot take is spooled", check_spool),
    Check("A gateway can open its connections", check_files),
    Check("A gateway takes events as fast as it can", check_kernels),
    Check("The gateway is ready", check_gateway),
    Check("The worker is ready", check_worker),
    Check("No worker's batch is taken away from it", check_claims),
)
