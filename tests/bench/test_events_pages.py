"""Pages of a few thousand events: every filter is checked as among ten million, but not timed."""

import shutil
from typing import Any

import pytest

from bench import events_pages
from bench.events_pages import Case, cases, measure, page_ms, plan_of, run, seed, spans, table
from bench.processes import BenchError
from core.ports import EventFilter
from store.events import SqlEvents

TIME = "ix_events_project_id_received_ms_event_id"
TYPE = "ix_events_project_id_event_received_ms_event_id"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements and sessions of few events, and rare ones that are there."""
    monkeypatch.setattr(events_pages, "CHUNK", 1_000)
    monkeypatch.setattr(events_pages, "SESSION_EVENTS", 700)
    monkeypatch.setattr(events_pages, "RARE_EVERY", 100)
    monkeypatch.setattr(events_pages, "STEPS", {**events_pages.STEPS, "memory_operation": (100, 7)})


def check(found: dict[str, Any]) -> None:
    """Each filter has its figures, and is served by the index that it should be."""
    assert list(found["rows"]) == list(cases(2_500))
    for name, row in found["rows"].items():
        assert row["slowest ms"] >= row["anywhere ms"] > 0
        assert row["index"] == (TYPE if "type" in name or name == "all" else TIME), name
    assert len(table(found).splitlines()) == 2 + len(found["rows"])


async def test_sqlite(no_settings: None) -> None:
    """Every page of SQLite holds what the filter says, from one index."""
    check(await measure("sqlite", 2_500, count=5))


@pytest.mark.xdist_group("postgres")
async def test_postgresql(postgres: Any) -> None:
    """Every page of PostgreSQL holds what the filter says."""
    await seed(postgres, 2_500)
    store = SqlEvents(postgres)
    for case in cases(2_500).values():
        for before in (None, case.first + 1, (case.first + case.last) // 2, case.last):
            assert await page_ms(store, case, before) > 0


async def test_untrue(sqlite: Any) -> None:
    """A page that does not hold what it should, or a plan that sorts, is an error, not a figure."""
    await seed(sqlite, 100)
    case = Case(EventFilter("proj_1"), 0, 99)
    assert await plan_of(sqlite, case, 50) == TIME
    with pytest.raises(BenchError, match="does not hold what it should"):
        await page_ms(SqlEvents(sqlite), case._replace(last=100), None)
    await run(sqlite, f"DROP INDEX {TIME}")
    with pytest.raises(BenchError, match=r"^No index serves"):
        await plan_of(sqlite, case, 49)  # the driver keeps plans that were asked for, as they were


async def test_bounded(sqlite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the room, or the time, there is an error instead of a full disk."""
    monkeypatch.setattr(events_pages, "SEED_S_MAX", -1)
    with pytest.raises(BenchError, match=r"^Only 0 events were made in -1 s$"):
        await seed(sqlite, 100)
    usage = shutil.disk_usage("/")._replace(free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BenchError, match=r"MiB of .* must be free$"):
        await measure("sqlite", 10_000)


def test_spans() -> None:
    """Sessions follow one another and have every event once."""
    made = spans(1_500)
    assert [row["message_count"] for row in made] == [700, 700, 100]
    assert [row["id"] for row in made] == ["sess_0", "sess_1", "sess_2"]
