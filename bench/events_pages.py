"""What a page of events costs among ten million, for each filter and wherever the page lies.

All events are of one project, as far apart as ten million in a hundred days, in sessions of four
hours; half are of one type, and one in 100,000 of a rare one. The store makes them itself, since a
client would take an hour. Pages are read as the API reads them, from other random places each time;
they must hold what the filter says, and their plan must walk one index and sort nothing.

Usage: python -m bench.events_pages [EVENTS] [sqlite | postgresql]. Ten million take a few minutes
in each store, or after ten the run ends with an error, and up to 8 GB of the temporary directory.
"""

import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.drain import STORES, store_server
from bench.processes import BenchError
from core.ports import EventFilter
from loadtest.report import commit, processor
from store.engine import open_engine
from store.events import SqlEvents, page_query
from store.migrate import migrate
from store.schema import ingest_sessions

EVENTS, LIMIT, PAGES = 10_000_000, 50, 100
SEED_S_MAX, EVENT_BYTES_MAX = 600, 800  # of one store; of one event with its indexes
CHUNK = 250_000  # events in one statement
START_MS, APART_MS = 1_700_000_000_000, 864
SESSION_EVENTS = 4 * 3_600_000 // APART_MS
PROJECT, COMMON, RARE, RARE_EVERY = "proj_1", "session_save", "memory_operation", 100_000
STEPS = {
    None: (1, 0),
    COMMON: (2, 0),
    RARE: (RARE_EVERY, 7),
}  # every which event, and from which on
PAYLOAD = '{"summary":"what was done in a session, in a sentence or two","changes":[],"n":'
MAKE_ID = {"sqlite": "printf('evt_%026d', n)", "postgresql": "'evt_' || lpad(n::text, 26, '0')"}
MAKE_PAYLOAD = {"sqlite": "'{}' || n || '}}'", "postgresql": "('{}' || n || '}}')::json"}
NUMBERS = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM c WHERE n < {1})"
    " SELECT n FROM c)",
    "postgresql": "generate_series({0}, {1}) AS n",
}
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}
WALKS = {"sqlite": "USING INDEX ", "postgresql": "Index Scan Backward using "}
SORTS = ("TEMP B-TREE", "Sort")


class Case(NamedTuple):
    """A filter, and the numbers of the events between which its pages lie."""

    wanted: EventFilter
    first: int
    last: int


def cases(events: int) -> dict[str, Case]:
    """Each filter, and some of them together."""
    whole, end = EventFilter(PROJECT), events - 1
    low, high = events // 4, events // 2
    bounded = whole._replace(after_ms=time_ms(low), before_ms=time_ms(high))
    session = high // SESSION_EVENTS
    first = session * SESSION_EVENTS
    last = min(first + SESSION_EVENTS, events) - 1
    own = whole._replace(session_id=f"sess_{session}")
    own_bounded = own._replace(after_ms=time_ms(first), before_ms=time_ms(last), event=COMMON)
    return {
        "none": Case(whole, 0, end),
        "type, half of all": Case(whole._replace(event=COMMON), 0, end),
        f"type, one in {RARE_EVERY:,}": Case(whole._replace(event=RARE), 0, end),
        "session": Case(own, first, last),
        "session and type": Case(own._replace(event=COMMON), first, last),
        "after": Case(bounded._replace(before_ms=None), low + 1, end),
        "before": Case(bounded._replace(after_ms=None), 0, high - 1),
        "after and before": Case(bounded, low + 1, high - 1),
        "all": Case(own_bounded, first + 1, last - 1),
    }


def time_ms(number: int) -> int:
    """When an event was received, Unix ms."""
    return START_MS + number * APART_MS


def event_id(number: int) -> str:
    """The id of an event."""
    return f"evt_{number:026}"


def insert(dialect: str, first: int, last: int) -> str:
    """The statement that makes these events."""
    kinds = (
        f"CASE WHEN n % {RARE_EVERY} = 7 THEN '{RARE}' WHEN n % 2 = 0 THEN '{COMMON}'"
        " WHEN n % 4 = 1 THEN 'scan_result' ELSE 'git_digest' END"
    )
    payload = MAKE_PAYLOAD[dialect].format(PAYLOAD)
    return (
        "INSERT INTO events (project_id, event_id, session_id, event, payload, received_ms)"  # noqa: S608 - our own numbers
        f" SELECT '{PROJECT}', {MAKE_ID[dialect]}, 'sess_' || (n / {SESSION_EVENTS}), {kinds},"
        f" {payload}, {START_MS} + n * CAST({APART_MS} AS BIGINT)"
        f" FROM {NUMBERS[dialect].format(first, last)}"
    )


async def seed(engine: AsyncEngine, events: int) -> None:
    """Fill an empty store. Raises BenchError if that takes too long."""
    dialect, until_s = engine.dialect.name, time.monotonic() + SEED_S_MAX
    if dialect == "postgresql":  # what is only read needs no log
        await run(engine, "ALTER TABLE events SET UNLOGGED")
    for first in range(0, events, CHUNK):
        await run(engine, insert(dialect, first, min(first + CHUNK, events) - 1))
        if time.monotonic() > until_s:
            raise BenchError(f"Only {first:,} events were made in {SEED_S_MAX} s")
    async with engine.begin() as connection:
        await connection.execute(sa.insert(ingest_sessions), spans(events))
    await run(engine, "ANALYZE" if dialect == "postgresql" else "PRAGMA wal_checkpoint(TRUNCATE)")


def spans(events: int) -> list[dict[str, Any]]:
    """The rows of the sessions."""
    made = []
    for first in range(0, events, SESSION_EVENTS):
        count = min(SESSION_EVENTS, events - first)
        own = {"id": f"sess_{first // SESSION_EVENTS}", "project_id": PROJECT}
        times = {"first_ms": time_ms(first), "last_ms": time_ms(first + count - 1)}
        more = {"started_ms": time_ms(first), "updated_ms": times["last_ms"]}
        made.append({**own, **times, **more, "message_count": count})
    return made


async def run(engine: AsyncEngine, statement: str) -> list[Any]:
    """What a statement gives, in a transaction of its own."""
    async with engine.begin() as connection:
        done = await connection.exec_driver_sql(statement)
        return list(done) if done.returns_rows else []


async def plan_of(engine: AsyncEngine, case: Case, before: int | None) -> str:
    """The index that a page walks. Raises BenchError if it walks none, or sorts."""
    in_session = case.wanted.session_id is not None
    span = (time_ms(case.first), time_ms(case.last)) if in_session else None
    position = None if before is None else (time_ms(before), event_id(before))
    query = page_query(case.wanted, span, position).limit(LIMIT + 1)
    compiled = query.compile(engine, compile_kwargs={"literal_binds": True})
    dialect = engine.dialect.name
    plan = "\n".join(str(line[-1]) for line in await run(engine, EXPLAIN[dialect] + str(compiled)))
    _, walks, rest = plan.partition(WALKS[dialect])
    if not walks or any(word in plan for word in SORTS):
        raise BenchError(f"No index serves {case.wanted}: {plan}")
    return rest.split()[0]


async def page_ms(store: SqlEvents, case: Case, before: int | None) -> float:
    """How long a page takes, of the newest events or of those before one. Raises BenchError if it
    does not hold exactly what it should."""
    cursor = None if before is None else f"{time_ms(before)}-{event_id(before)}"
    started_s = time.perf_counter()
    page = await store.page(case.wanted, limit=LIMIT, cursor=cursor)
    took_ms = (time.perf_counter() - started_s) * 1000
    step, remainder = STEPS[case.wanted.event]
    end = case.last if before is None else before - 1
    newest = end - (end - remainder) % step
    expected = [event_id(n) for n in range(newest, case.first - 1, -step)[:LIMIT]]
    if [row.event_id for row in page.rows] != expected:
        raise BenchError(f"A page of {case.wanted} does not hold what it should")
    return took_ms


async def one(engine: AsyncEngine, case: Case, count: int, chance: random.Random) -> dict[str, Any]:
    """The figures of a filter: its newest page, read again and again, and pages anywhere."""
    store = SqlEvents(engine)
    places = [chance.randint(case.first + 1, case.last) for _ in range(count)]
    newest = [await page_ms(store, case, None) for _ in range(count)]
    anywhere = [await page_ms(store, case, place) for place in places]
    indexes = {await plan_of(engine, case, before) for before in (None, *places[:3])}
    return {
        "newest ms": round(statistics.median(newest), 2),
        "anywhere ms": round(statistics.median(anywhere), 2),
        "slowest ms": round(max(newest + anywhere), 2),
        "index": ", ".join(sorted(indexes)),
    }


async def measure(store: str, events: int = EVENTS, *, count: int = PAGES) -> dict[str, Any]:
    """A row for each filter. store: sqlite or postgresql. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        if shutil.disk_usage(directory).free < events * EVENT_BYTES_MAX:
            raise BenchError(f"{events * EVENT_BYTES_MAX >> 20:,} MiB of {directory} must be free")
        with store_server(store, directory) as (url, _):
            engine = open_engine(url)
            try:
                await migrate(engine)
                started_s = time.monotonic()
                await seed(engine, events)
                seeded_s = round(time.monotonic() - started_s, 1)
                chance = random.Random(1)  # the same pages each time
                rows = {
                    name: await one(engine, case, count, chance)
                    for name, case in cases(events).items()
                }
            finally:
                await engine.dispose()
    return {"store": store, "events": events, "seeded_s": seeded_s, "pages": count, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """The figures, as docs/PERFORMANCE.md has them."""
    lines = [
        f"| {STORES[found['store']]}: filter | newest ms | anywhere ms | slowest ms |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in found["rows"].items():
        figures = (row["newest ms"], row["anywhere ms"], row["slowest ms"])
        lines.append(f"| {name} | {' | '.join(f'{ms:.2f}' for ms in figures)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print a table for each store, and all of it as JSON."""
    stores = [text for text in sys.argv[1:] if text in STORES] or list(STORES)
    events = next((int(text) for text in sys.argv[1:] if text.isdigit()), EVENTS)
    sys.stdout.write(f"{processor()}, commit {commit()}, {events:,} events, pages of {LIMIT}\n")
    for store in stores:
        found = asyncio.run(measure(store, events))
        sys.stdout.write(f"\n{table(found)}{json.dumps(found)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
