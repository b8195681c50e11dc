"""What a batch says of its entries, once the store has said which events it refuses."""

import msgspec

from core.codec import BODY, HEADER, Entry, encode_header
from tests.worker.conftest import PLAIN
from worker.batch import Batch, Delivery, Outcome


def delivery(entry_id: bytes, entry: Entry) -> Delivery:
    """An entry as the queue delivers it."""
    return Delivery(entry_id, {HEADER: encode_header(entry), BODY: entry.body})


def of_events(count: int, project: str) -> Entry:
    """An entry with so many events."""
    body = b"[" + b",".join([b'{"event":"a","payload":{}}'] * count) + b"]"
    form = type(PLAIN.form)("array")
    return msgspec.structs.replace(PLAIN, project=project, form=form, count=count, body=body)


def test_outcomes() -> None:
    """Each entry's events are stored or dead; a refused event belongs to its own entry."""
    batch = Batch()
    batch.add(delivery(b"1-0", of_events(3, "proj_1")))
    batch.add(delivery(b"2-0", msgspec.structs.replace(of_events(2, "proj_2"), count=5)))
    batch.bury(delivery(b"3-0", of_events(2, "proj_2")), "no")
    batch.add(delivery(b"4-0", of_events(2, "proj_1")))
    assert len(batch) == 4
    assert len(batch.rows) == 5
    assert batch.payload_bytes == 10
    assert batch.unreadable == 2
    letters = batch.letters({2: "bad", 3: "worse"})
    assert [(at, letter.why[:5], letter.events) for at, letter in letters] == [
        (1, "the e", 5),
        (2, "no", 2),
        (0, "bad", 1),
        (3, "worse", 1),
    ]
    assert [letter.content[b"entry"] for _, letter in letters] == [b"2-0", b"3-0", b"1-0", b"4-0"]
    assert batch.outcomes(letters) == [
        Outcome(b"1-0", "proj_1", 2, 1),
        Outcome(b"2-0", "proj_2", 0, 5),
        Outcome(b"3-0", "proj_2", 0, 2),
        Outcome(b"4-0", "proj_1", 1, 1),
    ]


def test_size() -> None:
    """A delivery's size is that of its fields."""
    assert Delivery(b"1-0", {b"h": b"12", b"b": b"345"}).size == 5
