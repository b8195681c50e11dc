"""The judge against stores that lost, altered, doubled or invented events, and the ids it names.

Stores are MemoryEvents with rows put in by hand; tests/cli/test_proof.py has a real one.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from core.event import Row
from core.testing import MemoryEvents
from loadtest import verify
from loadtest.events import TYPE, event_id, payload
from loadtest.run import Outcome
from loadtest.verify import IDS_LISTED, Verdict, reconcile
from tests.loadtest.conftest import RUN, outcome_of, plan_for, told

SIZE = 80
STARTED_MS = 1_700_000_000_000
Fault = Callable[[MemoryEvents], None]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test's store spans several pages."""
    monkeypatch.setattr(verify, "PAGE", 7)


def name(number: int, process: int = 0) -> str:
    """An event's id."""
    return event_id(RUN, process, number)


def row(number: int, process: int = 0, **changed: object) -> Row:
    """An event as it is stored."""
    identity = name(number, process)
    text = payload(identity, number, SIZE)
    plain = Row("proj_1", identity, "sess_1", TYPE, text, None, STARTED_MS + number)
    return plain._replace(**changed)  # type: ignore[arg-type]


async def ids(identities: Iterable[str] = ()) -> AsyncIterator[str]:
    """Dead letters."""
    for identity in identities:
        yield identity


def outcome_with(*acknowledged: range) -> Outcome:
    """A run in which process n made and got acknowledged the n-th range's events."""
    snapshots = [told(n, last=True, acknowledged=numbers) for n, numbers in enumerate(acknowledged)]
    return outcome_of(plan_for(payload_bytes=SIZE, processes=len(acknowledged)), *snapshots)


async def store_with(*rows: Row) -> MemoryEvents:
    """A store with these rows."""
    store = MemoryEvents()
    await store.write(list(rows))
    return store


async def judged(outcome: Outcome, store: MemoryEvents, *dead: str) -> Verdict:
    """What the judge says."""
    return await reconcile(outcome, store, project_id="proj_1", dead=ids(dead))


def found(verdict: Verdict) -> dict[str, list[str]]:
    """The ids that are listed, by kind; fails if the counts are others."""
    for kind in ("lost", "duplicated", "altered", "never_sent"):
        assert getattr(verdict, kind) == len(verdict.ids.get(kind, []))
    return {kind: listed for kind, listed in verdict.ids.items() if listed}


def drop(store: MemoryEvents) -> None:
    """Lose one row."""
    del store.rows["proj_1", name(3)]


def alter(store: MemoryEvents) -> None:
    """Change one byte of one payload."""
    changed = row(12)
    store.rows["proj_1", name(12)] = changed._replace(payload=changed.payload.replace("x", "y", 1))


def duplicate(store: MemoryEvents) -> None:
    """Store one event a second time, as no real store should."""
    store.rows["proj_1", "the second"] = row(20, received_ms=STARTED_MS + 999)


def invent(store: MemoryEvents) -> None:
    """Hold an event that was never sent."""
    store.rows["proj_1", name(50)] = row(50)


FAULTS: list[tuple[Fault, str, str]] = [
    (drop, "lost", name(3)),
    (alter, "altered", name(12)),
    (duplicate, "duplicated", name(20)),
    (invent, "never_sent", name(50)),
]


async def test_holds() -> None:
    """If everything acknowledged is stored once and unaltered, the proof holds."""
    store = await store_with(*map(row, range(50)))
    verdict = await judged(outcome_with(range(50)), store)
    assert (verdict.acknowledged, verdict.stored, verdict.holds) == (50, 50, True)
    assert (verdict.dead_lettered, verdict.unacknowledged, found(verdict)) == (0, 0, {})


@pytest.mark.parametrize(("fault", "kind", "identity"), FAULTS, ids=[kind for _, kind, _ in FAULTS])
async def test_one_fault(fault: Fault, kind: str, identity: str) -> None:
    """Each fault alone is found, named by its id, and nothing else is."""
    store = await store_with(*map(row, range(50)))
    fault(store)
    verdict = await judged(outcome_with(range(50)), store)
    assert found(verdict) == {kind: [identity]}
    assert not verdict.holds
    assert verdict.stored == 50 - (kind == "lost")


async def test_all_faults() -> None:
    """All four faults in one store are found, exactly those."""
    store = await store_with(*map(row, range(50)))
    for fault, _, _ in FAULTS:
        fault(store)
    verdict = await judged(outcome_with(range(50)), store)
    assert found(verdict) == {kind: [identity] for _, kind, identity in FAULTS}
    assert (verdict.acknowledged, verdict.stored, verdict.holds) == (50, 49, False)


async def test_processes() -> None:
    """Events of several processes are told apart: the same number is another event."""
    stored = [row(n) for n in range(9)] + [row(n, 1) for n in range(5) if n != 2]
    stored.append(row(7, 1))  # process 1 made only 5
    verdict = await judged(outcome_with(range(10), range(5)), await store_with(*stored))
    assert found(verdict) == {"lost": [name(9), name(2, 1)], "never_sent": [name(7, 1)]}
    assert (verdict.acknowledged, verdict.stored) == (15, 13)


@pytest.mark.parametrize("process", [1, 63])
async def test_unknown_process(process: int) -> None:
    """An event of a process that the run did not have was never sent."""
    store = await store_with(row(0), row(0, process))
    verdict = await judged(outcome_with(range(1)), store)
    assert found(verdict) == {"never_sent": [name(0, process)]}


@pytest.mark.parametrize(
    "text",
    ["{}", "", payload(name(9), 9, SIZE), payload(name(8), 8, SIZE) + " ", '{"n":8}'],
    ids=["empty", "nothing", "another's", "space", "short"],
)
async def test_altered(text: str) -> None:
    """A payload is unaltered only if it is the one that was sent, to the byte."""
    stored = [row(n, payload=text) if n == 8 else row(n) for n in range(10)]
    verdict = await judged(outcome_with(range(10)), await store_with(*stored))
    assert found(verdict) == {"altered": [name(8)]}


async def test_dead_letters() -> None:
    """An acknowledged event that the store refused is kept as a dead letter, and not lost."""
    store = await store_with(*map(row, range(8)))
    verdict = await judged(outcome_with(range(10)), store, name(8), name(9), name(9))
    assert (verdict.holds, verdict.dead_lettered, verdict.stored) == (True, 2, 8)
    assert (await judged(outcome_with(range(10)), store, name(8))).ids["lost"] == [name(9)]


async def test_dead_letters_of_others() -> None:
    """Dead letters of other runs, processes or producers keep nothing of this run."""
    others = ["", "evt_1", event_id("ffffffff", 0, 9), name(9, process=5)]
    verdict = await judged(outcome_with(range(10)), await store_with(*map(row, range(9))), *others)
    assert (verdict.dead_lettered, found(verdict)) == (0, {"lost": [name(9)]})


async def test_unacknowledged() -> None:
    """What is stored without an acknowledgement is counted, and is no error."""
    outcome = outcome_with(range(5, 10))  # 0 to 4 were made, and got no answer
    verdict = await judged(outcome, await store_with(*map(row, range(10))))
    assert (verdict.holds, verdict.acknowledged, verdict.unacknowledged) == (True, 5, 5)


async def test_unacknowledged_may_be_missing() -> None:
    """What was not acknowledged need not be stored."""
    verdict = await judged(outcome_with(range(5, 10)), await store_with(*map(row, range(5, 10))))
    assert (verdict.holds, verdict.stored, verdict.unacknowledged) == (True, 5, 0)


async def test_others_in_the_store() -> None:
    """Other runs' events, and events that are no load test's, are left out."""
    others = [
        row(0, event_id=event_id("ffffffff", 0, 3)),
        row(1, event_id="evt_1"),
        row(2, event_id=name(77), event="session_save"),
        row(3, event_id=name(78), project_id="proj_2"),
    ]
    store = await store_with(*map(row, range(10)), *others)
    verdict = await judged(outcome_with(range(10)), store)
    assert (verdict.holds, verdict.stored) == (True, 10)


async def test_empty_store() -> None:
    """With nothing stored everything is lost; of a kind the first ids are listed, in order."""
    verdict = await judged(outcome_with(range(1_000), range(10)), MemoryEvents())
    assert (verdict.lost, verdict.holds) == (1_010, False)
    assert verdict.ids["lost"] == [name(n) for n in range(IDS_LISTED)]


async def test_lists_are_bounded() -> None:
    """However much is wrong, a bounded number of ids is listed, and all are counted."""
    store = await store_with(*(row(n, payload="{}") for n in range(3 * IDS_LISTED)))
    verdict = await judged(outcome_with(range(3 * IDS_LISTED)), store)
    assert verdict.altered == 3 * IDS_LISTED
    assert len(verdict.ids["altered"]) == IDS_LISTED


async def test_nothing_sent() -> None:
    """A run in which nothing was acknowledged has nothing to lose."""
    assert (await judged(outcome_with(range(0)), MemoryEvents())).holds


MILLION = """
import asyncio
from pathlib import Path
from core.event import Row
from core.ports import Page
from loadtest.events import TYPE, event_id, payload
from loadtest.measure import Bits
from loadtest.plan import Plan
from loadtest.run import Outcome
from loadtest.verify import reconcile

N, RUN = 1_000_000, "a1b2c3d4"

class Endless:
    async def page(self, wanted, *, limit, cursor=None):
        first = int(cursor or 0)
        ids = [event_id(RUN, 0, n) for n in range(first, min(N, first + limit))]
        rows = [
            Row("p", i, "s", TYPE, payload(i, n, 600), None, n) for n, i in enumerate(ids, first)
        ]
        cursor = str(first + limit) if first + limit < N else None
        return Page(rows if first else rows[:-1], cursor)  # the first page lacks its last event

async def nothing():
    return
    yield

def peak_kib():  # not ru_maxrss, which begins with what the process had before its exec
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("VmHWM"))

outcome = Outcome(Plan(url="", project="p", secret="", run=RUN, payload_bytes=600))
bits = Bits()
bits.add_range(0, N)
outcome.made, outcome.acknowledged = {0: N}, {0: bits}
before = peak_kib()
verdict = asyncio.run(reconcile(outcome, Endless(), project_id="p", dead=nothing()))
after = peak_kib()
print(verdict.stored, verdict.lost, verdict.ids["lost"][0], before, after)
"""


def test_a_million_events() -> None:
    """A million events of 600 bytes reconcile within 200 MB, the interpreter included."""
    done = subprocess.run(
        [sys.executable, "-c", MILLION],
        cwd=Path(verify.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    stored, lost, identity, before_kib, after_kib = done.stdout.split()
    assert (stored, lost, identity) == ("999999", "1", name(999))
    assert int(after_kib) << 10 < 200_000_000
    assert (int(after_kib) - int(before_kib)) << 10 < 20_000_000, "20 bytes an event"
