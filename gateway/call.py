"""One script call: some appends of a partition, and the counts of the ledger that go with them."""

import hashlib
from typing import Any

from core.codec import Entry, encode_header
from core.errors import Reason, Unavailable
from core.ledger import ACCEPTED, ENTRIES, field
from core.partitions import ledger_key, stream_key
from core.ports import Receipt
from gateway.resp import command
from runtime.log import get_log

log = get_log()
CALL_ENTRIES_MAX = 1_000  # in one script call, during which the server does nothing else
# KEYS: stream, ledger. ARGV: id of the ledger | number of its fields | field, amount, … | header,
# body, … Returns the fields' new counts. Nothing goes into a queue that was emptied before it has
# been told what it held (gateway/witness.py). The appends come before the counts: if the stream
# cannot take them, the script ends there, and nothing has been counted.
APPEND = """
local ledger, fields = KEYS[2], tonumber(ARGV[2])
if redis.call('HGET', ledger, 'id') ~= ARGV[1] then
    return redis.error_reply('OTHERLEDGER the queue was emptied or replaced')
end
for at = 3 + 2 * fields, #ARGV, 2 do
    redis.call('XADD', KEYS[1], '*', 'h', ARGV[at], 'b', ARGV[at + 1])
end
local counts = {}
for at = 1, fields do
    local name = ARGV[2 * at + 1]
    local before = tonumber(redis.call('HGET', ledger, name:sub(1, -2) .. 'b') or 0)
    counts[at] = redis.call('HINCRBY', ledger, name, ARGV[2 * at + 2]) + before
end
return counts
"""
APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


class Call:
    """Gathers appends; then is sent once, and tells each of them how it went."""

    __slots__ = ("_events", "_pieces", "_receipts", "partition", "size")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.size = 0  # bytes held
        self._pieces: list[bytes] = []  # the script's arguments on the wire
        self._receipts: list[Receipt] = []
        self._events: dict[str, int] = {}  # by project

    def __len__(self) -> int:
        """The appends in it."""
        return len(self._receipts)

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return len(self._receipts) >= CALL_ENTRIES_MAX

    def add(self, entry: Entry, receipt: Receipt, *, bytes_max: int) -> int:
        """Take one more in, and return its bytes. Raises Unavailable if they are too many."""
        header, body = encode_header(entry), entry.body
        before = b"$%d\r\n%b\r\n$%d\r\n" % (len(header), header, len(body))
        size = len(before) + len(body) + 2
        if size > bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        self._pieces += (before, body, b"\r\n")
        self._receipts.append(receipt)
        project = entry.project
        self._events[project] = self._events.get(project, 0) + entry.count
        self.size += size
        return size

    @property
    def fields(self) -> list[str]:
        """The ledger's fields that it counts into, in the order of the reply."""
        return [*(field(project, ACCEPTED) for project in self._events), field(ENTRIES, ACCEPTED)]

    def packed(self, ids: list[str]) -> list[bytes]:
        """RESP, in pieces. ids: of the partitions' ledgers."""
        amounts = [*self._events.values(), len(self)]
        ledger = [part for item in zip(self.fields, amounts, strict=True) for part in item]
        keys = (2, stream_key(self.partition), ledger_key(self.partition))
        arguments = (*keys, ids[self.partition], len(amounts), *ledger)
        return [command("EVALSHA", APPEND_SHA, *arguments, more=2 * len(self)), *self._pieces]

    def accepted(self, durability: str) -> None:
        """Tell them all; one that cannot be told is a bug, and not the others' fault."""
        for receipt in self._receipts:
            _tell(receipt.accepted, durability)

    def refused(self, reason: Reason) -> None:
        """The same, with an error of its own for each."""
        for receipt in self._receipts:
            _tell(receipt.refused, Unavailable(reason))


def _tell(tell: Any, what: object) -> None:
    try:
        tell(what)
    except Exception:  # a bug: said loudly, and no reason to leave the others waiting
        log.exception("a request was not answered")
