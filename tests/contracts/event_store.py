"""What every EventStore keeps to; see core.ports."""

import pytest

from core.event import Row
from core.ports import EventFilter, EventStore

PROJECT = EventFilter("proj_1")


def row(number: int, **changed: object) -> Row:
    """A row that differs from others by its number, which is also its time."""
    plain = Row("proj_1", f"evt_{number:04}", "sess_1", "saved", f'{{"n":{number}}}', None, number)
    return plain._replace(**changed)  # type: ignore[arg-type]


class EventStoreContract:
    """Subclasses give a fixture `store`: an empty EventStore."""

    async def test_written_is_read_back(self, store: EventStore) -> None:
        """What was written comes back, newest first."""
        assert await store.write([row(1), row(2)]) == 2
        assert (await store.page(PROJECT, limit=10)).rows == [row(2), row(1)]

    async def test_twice_is_once(self, store: EventStore) -> None:
        """A row written twice is stored once, and the first one stays."""
        await store.write([row(1)])
        changed = row(1, payload='{"n":"other"}')
        assert await store.write([changed, row(2), changed]) == 1
        assert (await store.page(PROJECT, limit=10)).rows == [row(2), row(1)]

    async def test_twice_in_one_batch(self, store: EventStore) -> None:
        """Two rows of one identity in one batch are one, the first."""
        assert await store.write([row(1), row(1, payload="{}")]) == 1
        assert (await store.page(PROJECT, limit=10)).rows == [row(1)]

    async def test_rows_that_share_much_and_little(self, store: EventStore) -> None:
        """Many rows come back as they were written, whichever columns they have in common."""
        alike = [row(n) for n in range(1_000)]
        mixed = [
            row(
                n,
                project_id=f"proj_{n % 2}",
                session_id=f"sess_{n % 3}",
                event=f"event_{n % 5}",
                occurred_ms=n if n % 7 else None,
            )
            for n in range(1_000, 2_150)
        ]
        timed = [row(n, occurred_ms=n, received_ms=7) for n in range(3_000, 4_000)]
        assert await store.write([*alike, *mixed, *timed]) == 3_150
        found = []
        for project in ("proj_0", "proj_1"):
            found += (await store.page(EventFilter(project), limit=5_000)).rows
        assert sorted(found) == sorted([*alike, *mixed, *timed])

    async def test_large_payloads(self, store: EventStore) -> None:
        """Payloads of many kilobytes are stored as small ones are."""
        rows = [row(n, payload=f'{{"x":"{"x" * 20_000}{n}"}}') for n in range(150)]
        assert await store.write(rows) == 150
        assert (await store.page(PROJECT, limit=200)).rows == rows[::-1]

    async def test_nothing(self, store: EventStore) -> None:
        """An empty batch is nothing to do."""
        assert await store.write([]) == 0

    async def test_same_id_in_two_projects(self, store: EventStore) -> None:
        """Projects do not share identities."""
        assert await store.write([row(1), row(1, project_id="proj_2")]) == 2
        assert (await store.page(PROJECT, limit=10)).rows == [row(1)]

    @pytest.mark.parametrize(
        "payload",
        [
            '{"a":1.0,"b":1e2,"c":1E400}',
            '{ "z" : 1 ,\t"a":2,"z":3 }',
            '{"nul":"\\u0000","slash":"\\/"}',
            '{"cut":"\\ud83d","\\uDE00":"\\ude00\\ud83d\\\\"}',
            '{"text":"ü€😀"}',
            '{"n":123456789012345678901234567890.10}',
        ],
        ids=["numbers", "order-and-space", "nul", "halves", "unicode", "long-number"],
    )
    async def test_payload_byte_for_byte(self, store: EventStore, payload: str) -> None:
        """A payload comes back exactly as it was written, never serialised anew."""
        await store.write([row(1, payload=payload)])
        assert (await store.page(PROJECT, limit=1)).rows[0].payload == payload

    async def test_times(self, store: EventStore) -> None:
        """The time it happened may be missing; times reach beyond 32 bits."""
        rows = [row(2, occurred_ms=253_402_300_799_000), row(1, received_ms=1, occurred_ms=0)]
        await store.write(rows)
        assert (await store.page(PROJECT, limit=10)).rows == rows

    async def test_source(self, store: EventStore) -> None:
        """A source comes back, beside events that have none, twice written too."""
        rows = [row(2, source="cli"), row(1)]
        for _ in range(2):
            await store.write(rows)
        assert (await store.page(PROJECT, limit=10)).rows == rows

    @pytest.mark.parametrize(
        ("wanted", "numbers"),
        [
            (PROJECT._replace(session_id="sess_2"), [4]),
            (PROJECT._replace(event="seen"), [3]),
            (PROJECT._replace(after_ms=2), [4, 3]),
            (PROJECT._replace(before_ms=2), [1]),
            (PROJECT._replace(after_ms=1, before_ms=4), [3, 2]),
            (EventFilter("proj_none"), []),
        ],
        ids=["session", "event", "after", "before", "between", "other-project"],
    )
    async def test_filters(
        self, store: EventStore, wanted: EventFilter, numbers: list[int]
    ) -> None:
        """Each filter leaves what it names; bounds are excluded."""
        rows = [row(1), row(2), row(3, event="seen"), row(4, session_id="sess_2")]
        await store.write(rows)
        found = (await store.page(wanted, limit=10)).rows
        assert [r.received_ms for r in found] == numbers

    async def test_filters_together(self, store: EventStore) -> None:
        """All filters at once leave what fits each of them, page by page."""
        rows = [row(n, event=f"e{n % 2}", session_id=f"sess_{n % 3}") for n in range(60)]
        await store.write(rows)
        wanted = EventFilter("proj_1", "sess_1", "e1", after_ms=7, before_ms=55)
        expected = [r.received_ms for r in reversed(rows[8:55]) if r.received_ms % 6 == 1]
        seen, cursor = list[int](), None
        while len(seen) < len(expected):
            page = await store.page(wanted, limit=3, cursor=cursor)
            seen += [r.received_ms for r in page.rows]
            cursor = page.cursor
        assert (seen, cursor) == (expected, None)

    async def test_session_of_another_project(self, store: EventStore) -> None:
        """A session's id finds nothing in a project that has no event of it."""
        await store.write([row(1), row(2, project_id="proj_2", session_id="sess_2")])
        wanted = PROJECT._replace(session_id="sess_2")
        assert (await store.page(wanted, limit=9)).rows == []

    async def test_session_that_goes_on(self, store: EventStore) -> None:
        """Events of a session are found however much earlier and later the others were."""
        for number in (50, 10, 90, 30):
            await store.write([row(number), row(number + 1, session_id="sess_2")])
        found = (await store.page(PROJECT._replace(session_id="sess_1"), limit=9)).rows
        assert [r.received_ms for r in found] == [90, 50, 30, 10]

    async def test_one(self, store: EventStore) -> None:
        """An event is got by project and id, byte for byte; what is not stored is None."""
        await store.write([row(1, payload='{ "a":1.0}'), row(2)])
        assert await store.get("proj_1", "evt_0001") == row(1, payload='{ "a":1.0}')
        assert await store.get("proj_1", "evt_0009") is None
        assert await store.get("proj_2", "evt_0001") is None

    async def test_deleted_in_batches(self, store: EventStore) -> None:
        """A project's events are deleted so many at a time, and nobody else's."""
        await store.write([row(n) for n in range(5)] + [row(9, project_id="proj_2")])
        assert [await store.delete("proj_1", limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert (await store.page(PROJECT, limit=9)).rows == []
        assert len((await store.page(EventFilter("proj_2"), limit=9)).rows) == 1

    async def test_pages(self, store: EventStore) -> None:
        """Following the cursor shows every row once, equal times included, and then ends."""
        rows = [row(n, received_ms=n // 3) for n in range(10)]
        await store.write(rows)
        seen: list[Row] = []
        cursor = None
        for _ in range(4):
            page = await store.page(PROJECT, limit=3, cursor=cursor)
            seen += page.rows
            cursor = page.cursor
        assert seen == rows[::-1]
        assert cursor is None

    async def test_exactly_one_page(self, store: EventStore) -> None:
        """A page that holds the last row has no cursor."""
        await store.write([row(1), row(2)])
        assert (await store.page(PROJECT, limit=2)).cursor is None

    @pytest.mark.parametrize(
        "cursor", ["", "x", "12", "-a", "1-", "1-\0", "1_0-a", "9999999999999999999-a"]
    )
    async def test_bad_cursor(self, store: EventStore, cursor: str) -> None:
        """A cursor that no page has given raises ValueError."""
        with pytest.raises(ValueError, match="cursor"):
            await store.page(PROJECT, limit=2, cursor=cursor)
