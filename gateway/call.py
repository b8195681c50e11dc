"""One script call: some appends of a partition, and the counts of the ledger that go with them."""

import hashlib
from functools import lru_cache

from core.codec import Entry, encode_header
from core.errors import Reason, Unavailable
from core.partitions import ledger_key, stream_key
from core.ports import Bundle, Receipt
from core.usual import Standing, counts_as_arguments, note
from gateway.receipts import refuse
from gateway.resp import bulk
from gateway.standings import Standings
from runtime.log import get_log

log = get_log()
BUG = "a request was not answered"
CALL_ENTRIES_MAX = 1_000  # in one script call, during which the server does nothing else
# KEYS: stream, ledger. ARGV: id of the ledger | number of its fields | field, amount, … | header,
# body, … Returns the fields' new counts. Nothing goes into a queue that was emptied before it has
# been told what it held (gateway/witness.py). The appends come before the counts: if the stream
# cannot take them, the script ends there, and nothing has been counted. What is global in Lua is
# looked up by its name each time, and so it is held in locals.
APPEND = """
local call, arg = redis.call, ARGV
local stream, ledger, fields = KEYS[1], KEYS[2], tonumber(arg[2])
local known = call('HMGET', ledger, 'id', 'before')
if known[1] ~= arg[1] then
    return redis.error_reply('OTHERLEDGER the queue was emptied or replaced')
end
for at = 3 + 2 * fields, #arg, 2 do
    call('XADD', stream, '*', 'h', arg[at], 'b', arg[at + 1])
end
local counts = {}
for at = 1, fields do
    counts[at] = call('HINCRBY', ledger, arg[2 * at + 1], arg[2 * at + 2])
end
if known[2] ~= '0' then
    for at = 1, fields do
        local before = call('HGET', ledger, arg[2 * at + 1]:sub(1, -2) .. 'b')
        counts[at] = counts[at] + tonumber(before or 0)
    end
end
return counts
"""
BEFORE, CRLF = b"$%d\r\n%b\r\n$%d\r\n", b"\r\n"  # what is around an entry's body
OPENING_ARGUMENTS = 7
APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


class Call:
    """Gathers appends; then is sent once, and tells each of them how it went."""

    __slots__ = (
        "_counted",
        "_entries",
        "_events",
        "_pieces",
        "_receipts",
        "_standings",
        "partition",
        "size",
    )

    def __init__(self, partition: int, standings: Standings) -> None:
        self.partition = partition
        self.size = 0  # bytes held
        self._standings = standings
        self._counted: list[Standing] = []  # in the order of the reply; once it is packed
        self._pieces: list[bytes | bytearray] = []  # the script's arguments on the wire
        self._receipts: list[Receipt] = []
        self._entries = 0
        self._events: dict[Standing, int] = {}

    def __len__(self) -> int:
        """The appends in it."""
        return self._entries

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return self._entries >= CALL_ENTRIES_MAX

    def has_room(self, entries: int) -> bool:
        """Whether that many more may come."""
        return self._entries + entries <= CALL_ENTRIES_MAX

    def add(self, entry: Entry, receipt: Receipt, *, bytes_max: int) -> int:
        """Take one more in, and return its bytes. Raises Unavailable if they are too many."""
        header, body = encode_header(entry), entry.body
        before = BEFORE % (len(header), header, len(body))
        size = len(before) + len(body) + len(CRLF)
        if size > bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        events, standing = self._events, self._standings.of(entry.project)
        self._pieces += (before, body, CRLF)
        self._receipts.append(receipt)
        self._entries += 1
        events[standing] = events.get(standing, 0) + entry.count
        self.size += size
        return size

    def add_all(self, bundle: Bundle) -> None:
        """Take all of a bundle in."""
        self._pieces.append(bundle.wire)
        self._receipts.append(bundle)
        self._entries += bundle.entries
        if not self._events:  # as usually: the bundle has no more use for its own
            self._events = bundle.events
        else:
            for standing, count in bundle.events.items():
                self._events[standing] = self._events.get(standing, 0) + count
        self.size += len(bundle.wire)

    def packed(self, ledger_id: str) -> list[bytes | bytearray]:
        """RESP, in pieces. ledger_id: of the partition's ledger."""
        self._events[self._standings.entries[self.partition]] = len(self)
        self._counted = list(self._events)
        ledger = counts_as_arguments(self._events)
        opening = _opening(self.partition, ledger_id, len(self._counted))
        arguments = OPENING_ARGUMENTS + 2 * len(self._counted) + 2 * len(self)
        return [b"*%d\r\n" % arguments, opening, ledger, *self._pieces]

    def accepted(self, counts: list[int], durability: str) -> None:
        """Tell them all; one that cannot be told is a bug, and not the others' fault.

        counts: what the script has returned.
        """
        note(self._counted, counts)
        for receipt in self._receipts:
            try:
                receipt.accepted(durability)
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception(BUG)

    def refused(self, reason: Reason) -> None:
        """The same, with an error of its own for each."""
        for receipt in self._receipts:
            refuse(receipt, Unavailable(reason))


@lru_cache(1024)
def _opening(partition: int, ledger_id: str, fields: int) -> bytes:
    """The OPENING_ARGUMENTS that calls have alike."""
    keys = (stream_key(partition), ledger_key(partition))
    texts = ("EVALSHA", APPEND_SHA, 2, *keys, ledger_id, fields)
    return b"".join(bulk(str(text).encode()) for text in texts)
