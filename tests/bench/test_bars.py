"""The bars, held against figures that a test writes."""

import pytest

from bench import drain
from bench.bars import BARS, Bar, judge
from bench.growth import EMPTY, FULL
from bench.lineup import PEERS_OF_THE_TABLE
from bench.peer_table import OURS
from bench.rounds import AGAINST, CPU


@pytest.mark.parametrize(("figure", "met"), [(1.8, True), (1.81, False)])
def test_at_most(figure: float, met: bool) -> None:
    """A bar is met up to its limit."""
    bar = Bar("x", lambda _: figure, 1.8, unit="x")
    assert judge({}, (bar,)) == [{"name": "x", "bar": "≤ 1.8x", "figure": figure, "met": met}]


@pytest.mark.parametrize(("figure", "met"), [(150_000, True), (149_999, False)])
def test_at_least(figure: float, met: bool) -> None:
    """A bar of a throughput is met from its limit on."""
    bar = Bar("x", lambda _: figure, least=150_000, unit=" events/s")
    assert judge({}, (bar,))[0]["bar"] == "≥ 150,000 events/s"
    assert judge({}, (bar,))[0]["met"] is met


def test_not_measured() -> None:
    """A bar whose case did not run, or whose peer is missing, is neither met nor missed."""
    assert {judged["met"] for judged in judge({})} == {None}
    cases = {"peers": {"rows": {OURS: {CPU: 15.0}}}}
    assert {judged["met"] for judged in judge(cases)} == {None}


def test_against_peers() -> None:
    """Our CPU per event is divided by the peer's."""
    peers = {OURS: {CPU: 15.0}, "floor: uvloop + XADD": {CPU: 10.0}}
    judged = judge({"peers": {"rows": peers}})[0]
    assert (judged["figure"], judged["met"]) == (1.5, True)


def test_rows_exist() -> None:
    """The peers that bars name are in the table, under these names."""
    peers = {peer.name: {CPU: 1.0} for peer in PEERS_OF_THE_TABLE}
    growth = {str(EMPTY): {AGAINST: 1.0}, str(FULL): {AGAINST: 1.0}}
    drained = {drain.row(*case): {drain.RATE: 1.0} for case in drain.CASES}
    cases = {
        "peers": {"rows": {OURS: {CPU: 1.0}, **peers}},
        "growth": {"rows": growth},
        "drain": {"rows": drained},
    }
    assert sum(judged["figure"] == 1 for judged in judge(cases, BARS)) == 8
