"""Tables of lines and batches, and a fuzz test: whatever a line holds, none of its bytes change."""

import json
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.ndjson import BATCH_BYTES_MAX, Batch, batches, with_id

PAYLOAD = b'{ "z":1.0,"a" :"\\u00e4\\/","a":2 }'


def split(file: bytes, **options: int) -> list[tuple[list[str], list[int]]]:
    """The batches of a file, without the ids that were added."""
    found = batches(file.splitlines(keepends=True), **{"events_max": 500, **options})
    return [([line.decode().split(',"id"')[0] for line in b.lines], b.numbers) for b in found]


@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        (b"", {}, []),
        (b"\n  \n\t\r\n", {}, []),
        (b"a\nb\nc", {}, [(["a", "b", "c"], [1, 2, 3])]),
        (b"a\r\n\r\n b \r\n", {}, [(["a", "b"], [1, 3])]),
        (b"a\nb\nc\n", {"events_max": 2}, [(["a", "b"], [1, 2]), (["c"], [3])]),
        (b"a\n\nb\n", {"events_max": 1}, [(["a"], [1]), (["b"], [3])]),
        (b"a\nb\nc\nd\n", {"events_max": 2, "from_line": 2}, [(["b", "c"], [2, 3]), (["d"], [4])]),
        (b"a\n", {"from_line": 2}, []),
    ],
)
def test_batches(
    file: bytes, options: dict[str, int], expected: list[tuple[list[str], list[int]]]
) -> None:
    """Lines that hold something are sent in order and keep their numbers in the file."""
    assert split(file, **options) == expected


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (BATCH_BYTES_MAX // 2 - 60, [2, 2, 1]),
        (BATCH_BYTES_MAX // 2 + 60, [1, 1, 1, 1, 1]),
        (BATCH_BYTES_MAX * 2, [1, 1, 1, 1, 1]),
    ],
    ids=["two-fit", "one-fits", "over"],
)
def test_batches_are_bounded_in_bytes(size: int, counts: list[int]) -> None:
    """A body stays under its bound, ids included; a line that is over it alone goes alone."""
    line = b'{"x":"%s"}\n' % (b"a" * (size - 9))
    found = list(batches([line] * 5, events_max=500))
    assert [len(batch.lines) for batch in found] == counts
    assert all(len(batch.body()) <= max(BATCH_BYTES_MAX, size + 50) for batch in found)


def test_body() -> None:
    """A batch's body is its lines, one below the other."""
    assert Batch([b"a", b"b"], [1, 2]).body() == b"a\nb"


@pytest.mark.parametrize(
    "event",
    [
        b'{"event":"a","payload":%s}' % PAYLOAD,
        b'{"event":"a","payload":%s ,"timestamp":1 }' % PAYLOAD,
        b'{"id":null,"event":"a","payload":%s}' % PAYLOAD,
        b'{"id":"x","event":"a","payload":%s,"id":null}' % PAYLOAD,
        b'{"event":"a","payload":%s,"nested":{"id":"x"}}' % PAYLOAD,
        b'{"event":"a","payload":%s,"cut":"\\ud83d"}' % PAYLOAD,
    ],
    ids=["none", "space", "null", "null-last", "nested", "half"],
)
def test_id_is_added(event: bytes) -> None:
    """An event without an id of its own gets a UUIDv7 behind all its other bytes."""
    found = with_id(event)
    assert found.startswith(event[:-1].rstrip() + b',"id":"')
    decoded = json.loads(found)
    assert UUID(decoded["id"]).version == 7
    assert PAYLOAD in found


@pytest.mark.parametrize(
    "event",
    [
        b'{"id":"mine","event":"a"}',
        b'{"event":"a","\\u0069d":"mine"}',
        b'{"id":"","event":"a"}',
        b'{"id":5}',
        b"{}",
        b"[]",
        b"null",
        b'{"event":',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"x":' * 100_000,
    ],
    ids=[
        "own",
        "escaped",
        "empty-id",
        "number",
        "empty",
        "array",
        "null",
        "open",
        "bom",
        "brackets",
        "braces",
    ],
)
def test_left_alone(event: bytes) -> None:
    """An id that is there stays, right or wrong; what is no event is for the gateway to refuse."""
    assert with_id(event) == event


def test_ids_differ() -> None:
    """Equal lines get different ids: they are different events."""
    (batch,) = batches([b'{"event":"a"}\n'] * 100, events_max=500)
    assert len(set(batch.lines)) == 100


@settings(deadline=None, database=None)
@given(st.lists(st.binary(max_size=40) | st.just(b'{"event":"a"}') | st.just(b'{"id":"b"}')))
def test_no_byte_is_lost(lines: list[bytes]) -> None:
    """For any bytes, every line arrives once, in order, and begins as it was."""
    lines = [line.replace(b"\n", b"") for line in lines]
    found = list(batches(lines, events_max=3))
    sent = [pair for b in found for pair in zip(b.numbers, b.lines, strict=True)]
    expected = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    assert [number for number, _ in sent] == [number for number, _ in expected]
    for (_, text), (_, line) in zip(sent, expected, strict=True):
        assert text == line or text.startswith(line[:-1].rstrip() + b',"id":"')
