"""Every branch of the fakes, briefly: the contracts that they keep are in tests/contracts/."""

import pytest

from core.body import Form
from core.codec import Entry
from core.compression import Encoding
from core.errors import Reason, Unavailable
from core.event import Row
from core.ports import Conflict, EventFilter, Project, ProjectKeys, SealedSecret
from core.testing import (
    MemoryApiKeys,
    MemoryEvents,
    MemoryLedger,
    MemoryProjects,
    MemoryQueue,
    MemoryUsers,
)
from tests.contracts.event_queue import Appended, EventQueueContract, Noted
from tests.contracts.event_store import EventStoreContract
from tests.contracts.ledger_store import LedgerStoreContract
from tests.contracts.project_store import ProjectStoreContract
from tests.contracts.user_store import ApiKeyStoreContract, UserStoreContract

PROJECT = Project("proj_1", "demo", "active", 1, 1)
OLD, NEW = SealedSecret(b"old", None), SealedSecret(b"new", None)
ENTRY = Entry("proj_1", "sess_1", 1, Form.SINGLE, Encoding.IDENTITY, 1, 1, bytes(32), b"{}")


def row(number: int, session: str = "sess_1", event: str = "a", project: str = "proj_1") -> Row:
    """A row that differs from others by its number, which is also its time."""
    return Row(project, f"evt_{number}", session, event, "{}", None, received_ms=number)


async def test_rows_are_stored_once() -> None:
    """A row written twice is stored once, and the first one stays."""
    store = MemoryEvents()
    assert await store.write([row(1), row(2), row(1, event="b")]) == 2
    assert await store.write([row(2), row(3)]) == 1
    assert [r.event for r in store.rows.values()] == ["a", "a", "a"]


async def test_pages_follow_one_another() -> None:
    """Pages come newest first, and a cursor continues until there is no more."""
    store = MemoryEvents()
    await store.write([row(n) for n in range(5)])
    first = await store.page(EventFilter("proj_1"), limit=3)
    assert [r.received_ms for r in first.rows] == [4, 3, 2]
    second = await store.page(EventFilter("proj_1"), limit=3, cursor=first.cursor)
    assert ([r.received_ms for r in second.rows], second.cursor) == ([1, 0], None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventFilter("proj_1"), [3, 2, 1]),
        (EventFilter("proj_2"), [4]),
        (EventFilter("proj_1", session_id="sess_2"), [2]),
        (EventFilter("proj_1", event="b"), [3]),
        (EventFilter("proj_1", after_ms=1, before_ms=3), [2]),
    ],
    ids=["project", "other project", "session", "event", "times"],
)
async def test_page_is_filtered(wanted: EventFilter, found: list[int]) -> None:
    """A page shows what all parts of the filter let through, bounds of time excluded."""
    store = MemoryEvents()
    await store.write([row(1), row(2, "sess_2"), row(3, event="b"), row(4, project="proj_2")])
    assert [r.received_ms for r in (await store.page(wanted, limit=9)).rows] == found


async def test_project_is_found_by_id_and_name() -> None:
    """A project is found by either, listed oldest first, and created only once."""
    store = MemoryProjects()
    await store.create(PROJECT, OLD)
    await store.create(Project("proj_0", "older", "active", 0, 0), OLD)
    for taken in (PROJECT._replace(id="proj_3"), PROJECT._replace(name="other")):
        with pytest.raises(Conflict):
            await store.create(taken, OLD)
    assert await store.find("proj_1") == await store.find("demo") == PROJECT
    assert await store.find("other") is None
    assert [project.id for project in await store.list()] == ["proj_0", "proj_1"]


async def test_rotation_keeps_the_old_secret_for_a_while() -> None:
    """The current secret gets an end, unless that has passed; one that has an end is gone."""
    store = MemoryProjects()
    await store.create(PROJECT, OLD)
    assert await store.keys("proj_2") is None
    await store.rotate("proj_1", NEW, now_ms=10, old_expires_ms=20)
    assert await store.keys("proj_1") == ProjectKeys(
        "active", (NEW, SealedSecret(b"old", 20)), version=10
    )
    await store.rotate("proj_1", OLD, now_ms=19, old_expires_ms=30)
    assert [s.expires_ms for s in store.secrets["proj_1"]] == [None, 30]
    await store.rotate("proj_1", NEW, now_ms=20, old_expires_ms=20)
    assert store.secrets["proj_1"] == [NEW]


async def test_queue_keeps_entries_unless_it_fails() -> None:
    """A queue answers its durability; while it fails it raises that and appends nothing."""
    queue = MemoryQueue("fsynced")
    queue.failing = Unavailable(Reason.BACKLOG_FULL)
    with pytest.raises(Unavailable):
        await queue.append(ENTRY)
    assert queue.entries == []
    queue.failing = None
    assert (await queue.append(ENTRY), queue.entries) == ("fsynced", [ENTRY])


class TestMemoryEvents(EventStoreContract):
    """The fake keeps to the contract of the real stores."""

    @pytest.fixture
    def store(self) -> MemoryEvents:
        """The store under test."""
        return MemoryEvents()


class TestMemoryLedger(LedgerStoreContract):
    """The fake keeps to the contract of the real stores."""

    @pytest.fixture
    def events(self) -> MemoryEvents:
        """The events beside it."""
        return MemoryEvents()

    @pytest.fixture
    def ledger(self, events: MemoryEvents) -> MemoryLedger:
        """The ledger under test."""
        return MemoryLedger(events)


class TestMemoryProjects(ProjectStoreContract):
    """The fake keeps to the contract of the real stores."""

    @pytest.fixture
    def owner(self) -> str:
        """A user; the fake does not know them."""
        return "user_1"

    @pytest.fixture
    def store(self) -> MemoryProjects:
        """The store under test."""
        return MemoryProjects()


class TestMemoryUsers(UserStoreContract):
    """The fake keeps to the contract of the real stores."""

    @pytest.fixture
    def users(self) -> MemoryUsers:
        """The store under test."""
        return MemoryUsers()


class TestMemoryApiKeys(ApiKeyStoreContract):
    """The fake keeps to the contract of the real stores."""

    @pytest.fixture
    def users(self) -> MemoryUsers:
        """The users beside it."""
        return MemoryUsers()

    @pytest.fixture
    def keys(self, users: MemoryUsers) -> MemoryApiKeys:
        """The store under test."""
        return MemoryApiKeys(users)


def test_failing_queue_tells_receipts() -> None:
    """While it fails, the fake queue refuses what is put, and keeps nothing."""
    queue, receipt = MemoryQueue(), Noted()
    queue.failing = Unavailable(Reason.QUEUE_UNAVAILABLE)
    queue.put(ENTRY, receipt)
    assert receipt.told == [queue.failing]
    assert queue.entries == []


class TestMemoryQueue(EventQueueContract):
    """The fake keeps to the contract of the publisher."""

    @pytest.fixture
    def event_queue(self) -> MemoryQueue:
        """The queue under test."""
        return MemoryQueue()

    @pytest.fixture
    def appended(self, event_queue: MemoryQueue) -> Appended:
        """What is in it."""

        async def read_back() -> list[Entry]:
            return event_queue.entries

        return read_back
