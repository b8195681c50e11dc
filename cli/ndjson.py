"""Events from a file of one JSON object per line, in batches, each with an id.

An id is added where there is none, so that a batch sent twice is stored once.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import uuid_utils

from core.halves import hide

BATCH_BYTES_MAX = 900_000  # under the gateway's default of 1 MiB
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Batch(NamedTuple):
    """Lines to send in one request, and where in the file they are."""

    lines: list[bytes]
    numbers: list[int]  # of each line, from 1
    end: int = 0  # bytes of the file up to here

    def body(self) -> bytes:
        """The request's body."""
        return b"\n".join(self.lines)

    def halves(self) -> list["Batch"]:
        """The first half and the second."""
        middle = len(self.lines) // 2
        return [
            Batch(self.lines[:middle], self.numbers[:middle], self.end),
            Batch(self.lines[middle:], self.numbers[middle:], self.end),
        ]


def batches(file: Iterable[bytes], *, events_max: int, from_line: int = 1) -> Iterator[Batch]:
    """The non-empty lines of a file, from line `from_line` on, in batches."""
    batch, size, read = Batch([], []), 0, 0
    for number, line in enumerate(file, 1):
        before, read = read, read + len(line)
        text = line.strip()
        if not text or number < from_line:
            continue
        event = with_id(text)
        if batch.lines and (len(batch.lines) >= events_max or size + len(event) > BATCH_BYTES_MAX):
            yield batch._replace(end=before)
            batch, size = Batch([], []), 0
        batch.lines.append(event)
        batch.numbers.append(number)
        size += len(event) + 1
    if batch.lines:
        yield batch._replace(end=read)


def with_id(text: bytes) -> bytes:
    """The event with an id: its own, or a new UUIDv7. What is no object stays as it is.

    The id is put at the end, so that no byte before it changes.
    """
    try:
        members = _decode_members(hide(text) or text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return text  # the gateway says what is wrong with it
    if not members or bytes(members.get("id", b"null")) != b"null":
        return text
    return b'%s,"id":"%s"}' % (text[:-1].rstrip(), str(uuid_utils.uuid7()).encode())
