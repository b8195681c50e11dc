"""A script call: what it counts, its bytes, and whom it tells."""

import msgspec
import pytest

from core.codec import encode_header
from core.errors import Reason, Unavailable
from gateway.call import CALL_ENTRIES_MAX, Call
from gateway.resp import bulk
from gateway.standings import Standings
from tests.contracts.event_queue import ENTRY, Bundled, Noted


def test_packed() -> None:
    """Events are counted by project, entries in all; then come headers and bodies, in order."""
    standings = Standings(3)
    call = Call(2, standings)
    other = msgspec.structs.replace(ENTRY, project="proj_2", count=5)
    for entry in (ENTRY, other, ENTRY):
        call.add(entry, Noted(), bytes_max=10_000)
    packed = b"".join(call.packed("the-id"))
    counts = (b"the-id", b"3", b"proj_1|a", b"2", b"proj_2|a", b"5", b"|a", b"3")
    parts = [part for e in (ENTRY, other, ENTRY) for part in (encode_header(e), e.body)]
    assert packed.startswith(b"*19\r\n")
    assert packed.endswith(b"".join(map(bulk, (*counts, *parts))))
    call.accepted([7, 8, 9], "memory")
    seen = [standings.of("proj_1"), standings.of("proj_2"), standings.entries[2]]
    assert [standing.seen for standing in seen] == [7, 8, 9]


def test_bundles() -> None:
    """What is in several bundles is counted together."""
    standings = Standings(1)
    call, bundles = Call(0, standings), [Bundled([ENTRY] * count) for count in (1, 2)]
    for bundle in bundles:
        bundle.events = {standings.of("proj_1"): bundle.entries}
        call.add_all(bundle)
    call.add(ENTRY, Noted(), bytes_max=10_000)
    packed = b"".join(call.packed("the-id"))
    assert b"".join(map(bulk, (b"2", b"proj_1|a", b"4", b"|a", b"4"))) in packed
    assert call.size == sum(map(len, (*(bundle.wire for bundle in bundles), bundles[0].wire)))


def test_bytes_max() -> None:
    """What has no room any more is not taken in, and holds nothing."""
    call = Call(0, Standings(1))
    with pytest.raises(Unavailable) as refused:
        call.add(ENTRY, Noted(), bytes_max=len(ENTRY.body))
    assert refused.value.reason is Reason.OVERLOADED
    assert (len(call), call.size) == (0, 0)


class Broken(Noted):
    """A Receipt with a bug."""

    def accepted(self, durability: str) -> None:
        """Breaks its promise."""
        raise RuntimeError(durability)

    def refused(self, error: Unavailable) -> None:
        """Breaks its promise."""
        raise RuntimeError(str(error))


def test_one_that_cannot_be_told() -> None:
    """A receipt that raises keeps no other from being told."""
    call, receipts = Call(0, Standings(1)), [Noted(), Broken(), Noted()]
    for receipt in receipts:
        call.add(ENTRY, receipt, bytes_max=10_000)
    call.packed("the-id")
    call.accepted([3, 3], "memory")
    call.refused(Reason.BACKLOG_FULL)
    for receipt in (receipts[0], receipts[2]):
        durability, error = receipt.told
        assert durability == "memory"
        assert isinstance(error, Unavailable)
        assert error.reason is Reason.BACKLOG_FULL


def test_room() -> None:
    """It has room for as many entries as its bound, and no more."""
    call = Call(0, Standings(1))
    call.add_all(Bundled([ENTRY] * 600))
    assert call.has_room(CALL_ENTRIES_MAX - 600)
    assert not call.has_room(CALL_ENTRIES_MAX - 599)
    assert not call.is_full
