"""The ledger's arithmetic: what is outstanding, what is missing, what is lost."""

import pytest

from core.ledger import Account, Totals, account, field, parse, total

HASH = {
    b"id": b"abc",
    b"proj_1|a": b"10",
    b"proj_1|s": b"4",
    b"proj_1|d": b"1",
    b"proj_2|a": b"3",
    b"proj_2|w": b"3",
    b"|a": b"7",
    b"|s": b"5",
    b"something": b"x",
    b"proj_1|z": b"9",
}


def test_parse() -> None:
    """A hash gives each project's counts, and those of entries apart; other fields are ignored."""
    book = parse(HASH, length=2)
    assert book.queue_id == "abc"
    assert book.projects == {"proj_1": Totals(10, 4, 1), "proj_2": Totals(3, written_off=3)}
    assert book.entries == Totals(7, 5)
    assert field("proj_1", "a") == "proj_1|a"


@pytest.mark.parametrize(("length", "missing"), [(2, 0), (0, 2), (3, -1)])
def test_missing(length: int, missing: int) -> None:
    """A partition is in balance when its stream holds what was appended and is not done with."""
    assert parse(HASH, length).missing == missing


def test_nothing_yet() -> None:
    """Without a ledger there is nothing, and nothing is missing."""
    book = parse({}, 0)
    assert (book.queue_id, book.projects, book.missing) == ("", {}, 0)


def of(totals: Totals, **known: int | None) -> Account:
    """The account of a project of which 5 rows are stored, unless it is said otherwise."""
    stored = known.pop("stored", 5)
    assert stored is not None
    return account(totals, stored=stored, in_stream=known.pop("in_stream", None))


def test_in_balance() -> None:
    """In balance, what is outstanding is in flight, and nothing is lost."""
    found = of(Totals(accepted=20, settled=8, dead=2, purged=1, written_off=1))
    assert (found.stored, found.duplicates, found.in_flight, found.lost) == (5, 3, 8, 0)


def test_stored_but_not_settled() -> None:
    """A batch that is stored and not yet settled is not in flight twice."""
    found = of(Totals(accepted=10, settled=4), stored=7)
    assert (found.stored, found.duplicates, found.in_flight, found.lost) == (7, 0, 3, 0)
    counted = of(Totals(accepted=10, settled=4), stored=7, in_stream=6)
    assert (counted.in_flight, counted.lost) == (3, 0)


def test_lost() -> None:
    """What is outstanding and not in the stream is lost."""
    found = of(Totals(accepted=20, settled=5), in_stream=4)
    assert (found.in_flight, found.lost) == (4, 11)


def test_stored_and_gone_from_the_stream() -> None:
    """Events that were stored, and never settled since their stream was deleted, are not lost."""
    totals = Totals(accepted=105, settled=0)
    found = account(totals, stored=100, in_stream=5)
    assert (found.in_flight, found.lost) == (5, 0)


def test_settlements_rolled_back() -> None:
    """A queue that has forgotten what was settled does not make its backlog look lost."""
    found = account(Totals(accepted=105, settled=90), stored=100, in_stream=5)
    assert (found.in_flight, found.lost) == (5, 0)


def test_more_than_was_accepted() -> None:
    """Entries that no gateway has appended show as a negative loss."""
    assert of(Totals(accepted=5, settled=5), in_stream=2).lost == -2


def test_spooled() -> None:
    """What waits in a spool is accepted, too."""
    found = account(Totals(accepted=5, settled=5), stored=5, in_stream=None, spooled=3)
    assert (found.accepted, found.spooled, found.lost) == (8, 3, 0)


def test_everything_is_somewhere() -> None:
    """The equation holds for every account."""
    for totals in (Totals(20, 8, 2, 1, 1), Totals(9, 9), Totals(30, 5, 3)):
        for in_stream in (None, 0, 4, 8):
            a = of(totals, in_stream=in_stream)
            parts = (a.stored, a.duplicates, a.dead_lettered, a.purged, a.written_off)
            assert a.accepted == sum(parts) + a.in_flight + a.spooled + a.lost


def test_total() -> None:
    """Counts add up over projects, over none too."""
    assert total([Totals(1, 2, 3, 4, 5), Totals(1)]) == Totals(2, 2, 3, 4, 5)
    assert total([]) == Totals()
