"""Each filter of events, and all together, are served from an index, newest first."""

from itertools import product
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ports import EventFilter
from store.events import SqlEvents, page_query
from tests.contracts.event_store import row

ALL = EventFilter("proj_1", "sess_1", "seen", after_ms=100, before_ms=4_900)
TIME = "ix_events_project_id_received_ms_event_id"
TYPE = "ix_events_project_id_event_received_ms_event_id"
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}
COMBINATIONS = list(product((False, True), repeat=5))


def name_of(chosen: tuple[bool, ...]) -> str:
    """The id of a case."""
    names = ("session", "event", "after", "before", "cursor")
    return "+".join(name for name, is_in in zip(names, chosen, strict=True) if is_in) or "plain"


def filter_of(chosen: tuple[bool, ...]) -> EventFilter:
    """The filters that are chosen."""
    return EventFilter(
        "proj_1",
        *(value if is_in else None for value, is_in in zip(ALL[1:], chosen, strict=False)),
    )


async def plan_of(engine: AsyncEngine, chosen: tuple[bool, ...]) -> str:
    """How the database goes about a page."""
    span = (50, 4_950) if chosen[0] else None
    query = page_query(filter_of(chosen), span, (4_800, "evt_4800") if chosen[4] else None)
    compiled = query.limit(51).compile(engine, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(EXPLAIN[engine.dialect.name] + str(compiled))
        return "\n".join(str(line[-1]) for line in found)


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=name_of)
async def test_sqlite(sqlite: AsyncEngine, chosen: tuple[bool, ...]) -> None:
    """SQLite walks one index backwards, from the narrowest bound on, and sorts nothing."""
    plan = await plan_of(sqlite, chosen)
    assert f"USING INDEX {TYPE if chosen[1] else TIME} (project_id=?" in plan
    bounded = any((chosen[0], *chosen[2:]))
    assert ("received_ms" in plan.partition("(project_id=?")[2]) == bounded
    assert "TEMP B-TREE" not in plan


@pytest.mark.xdist_group("postgres")
async def test_postgres(postgres: AsyncEngine) -> None:
    """PostgreSQL does the same, in each combination."""
    rows = [
        row(n, event="seen" if n % 50 == 0 else "saved", session_id=f"sess_{n // 2500}")
        for n in range(5_000)
    ]
    others = [row(n, project_id=f"proj_{2 + n % 3}") for n in range(5_000)]
    await SqlEvents(postgres).write(rows + others)
    async with postgres.begin() as connection:
        await connection.exec_driver_sql("ANALYZE events")
    for chosen in COMBINATIONS:
        plan = await plan_of(postgres, chosen)
        used = TYPE if chosen[1] else TIME
        assert f"Index Scan Backward using {used}" in plan, (name_of(chosen), plan)
        assert "Sort" not in plan, (name_of(chosen), plan)


async def test_bounds_of_one_side(sqlite: AsyncEngine) -> None:
    """Of several bounds the narrowest is asked for, so that no page is walked to from afar."""
    wanted = ALL._replace(event=None)
    cases: list[tuple[Any, Any, list[Any]]] = [
        ((50, 4_950), (4_800, "evt_4800"), [101, 4_800, "evt_4800"]),
        ((200, 3_000), (4_800, "evt_4800"), [200, 3_001, ""]),
        ((50, 4_950), None, [101, 4_900, ""]),
    ]
    for span, before, bounds in cases:
        compiled = page_query(wanted, span, before).compile(sqlite)
        values = list(compiled.params.values())
        assert sorted(map(str, values)) == sorted(map(str, ["proj_1", "sess_1", *bounds]))
