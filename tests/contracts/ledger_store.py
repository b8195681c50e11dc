"""What every LedgerStore keeps to; see core.ports."""

from core.ledger import ENTRIES, Totals
from core.ports import EventStore, LedgerStore
from tests.contracts.event_store import row


class LedgerStoreContract:
    """Subclasses give `ledger` and, on the same store, `events`; both empty."""

    async def test_stored_counts_new_rows(self, ledger: LedgerStore, events: EventStore) -> None:
        """What is stored is counted per project, once however often it is written."""
        await events.write([row(1), row(2), row(2), row(1, project_id="proj_2")])
        await events.write([row(2), row(3)])
        assert await ledger.stored(["proj_1", "proj_2", "proj_3"]) == {"proj_1": 3, "proj_2": 1}
        assert await ledger.stored(["proj_2"]) == {"proj_2": 1}
        assert await ledger.stored([]) == {}

    async def test_nothing_is_remembered_at_first(self, ledger: LedgerStore) -> None:
        """A partition that nobody has looked at has no id and no counts."""
        assert await ledger.queue_id(0) is None
        assert await ledger.copy(0) == {}

    async def test_remembered(self, ledger: LedgerStore) -> None:
        """Id and counts come back, for each partition its own."""
        totals = {"proj_1": Totals(9, 5, 3, 1, 0), ENTRIES: Totals(4, 3)}
        await ledger.remember(0, "one", totals)
        await ledger.remember(1, "two", {})
        assert [await ledger.queue_id(n) for n in range(3)] == ["one", "two", None]
        assert await ledger.copy(0) == totals
        assert await ledger.copy(1) == {}

    async def test_no_count_is_lowered(self, ledger: LedgerStore) -> None:
        """Of two copies each count is the higher one; the id is the later one."""
        await ledger.remember(0, "one", {"proj_1": Totals(9, 1, 3, 1, 1)})
        await ledger.remember(0, "two", {"proj_1": Totals(5, 4, 3, 0, 2)})
        assert await ledger.queue_id(0) == "two"
        assert await ledger.copy(0) == {"proj_1": Totals(9, 4, 3, 1, 2)}

    async def test_dead_letters_become_fewer(self, ledger: LedgerStore) -> None:
        """The count of dead letters is the later one: they are replayed and purged."""
        await ledger.remember(0, "one", {"proj_1": Totals(9, 1, 3)})
        await ledger.remember(0, "one", {"proj_1": Totals(9, 1, 1, 2)})
        assert await ledger.copy(0) == {"proj_1": Totals(9, 1, 1, 2)}
