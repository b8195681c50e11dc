"""Finding dead letters on a real queue: pages, cursors, ids, and what is shown of one."""

import msgspec
import orjson
import pytest
from redis.asyncio import Redis

from core.codec import BODY, HEADER, encode_header
from core.dead_letter import of_entry, of_event
from core.event import Row
from core.partitions import dead_letter_key
from runtime import dead_letters
from runtime.dead_letters import Letter, LetterId, all_ids, page, parse_id, public
from tests.worker.conftest import PLAIN

ROW = Row("proj_1", "evt_1", "sess_1", "saved", '{"x":1.0}', 0, 1_800_000_000_123)


async def add_letter(queue: Redis, partition: int, entry_id: str, row: Row = ROW) -> LetterId:
    """Add a dead letter to a partition, uncounted."""
    fields = of_event(b"1-0", row, "why").fields()
    await queue.xadd(dead_letter_key(partition), fields, id=entry_id)  # type: ignore[arg-type]
    return parse_id(f"{partition}-{entry_id}")


async def walk(queue: Redis, partitions: int, limit: int, project: str | None = None) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    cursor = None
    while True:
        letters, cursor = await page(queue, partitions, project=project, limit=limit, cursor=cursor)
        assert len(letters) <= limit
        assert len(found) < 100, "it goes in a circle"
        found += [str(letter.id) for letter in letters]
        if cursor is None:
            return found


PLACES = ["2-30-1", "0-30-0", "1-30-0", "2-30-0", "0-20-0", "0-10-1", "0-10-0", "2-9-0"]


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("count", [1, 50])
async def test_newest_first(
    queue: Redis, monkeypatch: pytest.MonkeyPatch, limit: int, count: int
) -> None:
    """The letters of all partitions come newest first, each on one page."""
    monkeypatch.setattr(dead_letters, "READ_LETTERS", count)
    for place in reversed(PLACES):
        partition, _, entry_id = place.partition("-")
        await add_letter(queue, int(partition), entry_id)
    assert await walk(queue, 4, limit) == PLACES
    assert await walk(queue, 1, limit) == [place for place in PLACES if place.startswith("0-")]


async def test_of_a_project(queue: Redis) -> None:
    """A page shows the letters of one project, if it is told which."""
    for n in range(1, 10):
        await add_letter(queue, n % 2, f"{n}-0", ROW._replace(project_id=f"proj_{n % 3}"))
    assert await walk(queue, 2, 2, "proj_0") == ["1-9-0", "0-6-0", "1-3-0"]
    assert await walk(queue, 2, 2, "proj_9") == []
    ids = [str(each) for each in await all_ids(queue, 2, project="proj_0")]
    assert ids == ["0-6-0", "1-3-0", "1-9-0"]


async def test_bounded(queue: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at so many letters and no more; its cursor goes on, though it is empty."""
    monkeypatch.setattr(dead_letters, "SCAN_LETTERS_MAX", 4)
    await add_letter(queue, 0, "1-0", ROW._replace(project_id="rare"))
    for n in range(2, 10):
        await add_letter(queue, 0, f"{n}-0")
    assert await page(queue, 1, project="rare", limit=5) == ([], "0-6-0")
    assert await walk(queue, 1, 5, "rare") == ["0-1-0"]


@pytest.mark.parametrize("text", ["0-0-0", "1023-1732531234567-17", "0-1-9999999999999999999"])
def test_id(text: str) -> None:
    """An id is written as it was read."""
    assert str(parse_id(text)) == text


@pytest.mark.parametrize(
    "text", ["", "0", "0-1", "a-1-1", "00-1-1", "0-01-1", "0-1-1 ", "-1-1-1", "0-1-1-1", "٠-1-1"]
)
async def test_no_id(queue: Redis, text: str) -> None:
    """What is no id is said to be none, as a cursor too."""
    with pytest.raises(ValueError, match="looks like"):
        parse_id(text)
    with pytest.raises(ValueError, match="looks like"):
        await page(queue, 1, project=None, limit=1, cursor=text)


def letter_of(fields: dict[bytes, bytes]) -> Letter:
    """A letter as it is found in the stream."""
    return dead_letters.letter_of(3, b"5-6", fields)


def test_public() -> None:
    """What is shown of an event's letter: all of it, the payload byte for byte, times as text."""
    shown = public(letter_of(of_event(b"1-0", ROW, "forbidden").fields()))
    assert b'"payload":{"x":1.0},' in orjson.dumps(shown)
    assert {**shown, "payload": None} == {
        "id": "3-5-6",
        "projectId": "proj_1",
        "eventId": "evt_1",
        "event": "saved",
        "sessionId": "sess_1",
        "why": "forbidden",
        "receivedAt": "2027-01-15T08:00:00.123Z",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "payload": None,
        "events": 1,
        "unreadable": False,
    }


def test_public_entry() -> None:
    """What is shown of an entry that could not be read: whose it is, and how many events."""
    header = encode_header(msgspec.structs.replace(PLAIN, count=3))
    shown = public(letter_of(of_entry(b"1-0", {HEADER: header, BODY: b"["}, "why").fields()))
    present = {name: value for name, value in shown.items() if value is not None}
    assert present == {
        "id": "3-5-6",
        "projectId": "proj_1",
        "why": "why",
        "events": 3,
        "unreadable": True,
    }
