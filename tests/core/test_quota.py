"""Time is an argument, so every wait is exact; the property: who waits as told is let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quota import Bucket


def test_full_bucket_lets_in() -> None:
    """A new bucket holds one second's worth, and asking costs nothing."""
    bucket = Bucket(10, now_s=0)
    assert [bucket.wait_s(0), bucket.wait_s(0)] == [0, 0]
    assert bucket.balance == 10


@pytest.mark.parametrize(
    ("cost", "wait_s"),
    [
        pytest.param(9, 0, id="one token left"),
        pytest.param(10, 1, id="nothing left"),
        pytest.param(11, 1, id="a little debt"),
        pytest.param(19, 1, id="nearly a second's debt"),
        pytest.param(20, 2, id="a second: then nothing is left still"),
        pytest.param(25, 2, id="a second and a half"),
        pytest.param(5_005, 500, id="a whole batch"),
    ],
)
def test_debt_is_waited_for(cost: int, wait_s: int) -> None:
    """A request may cost more than there is; the next one waits until the debt is gone."""
    bucket = Bucket(10, now_s=100)
    bucket.pay(cost)
    assert bucket.wait_s(100) == wait_s
    assert bucket.wait_s(100 + wait_s) == 0


def test_waiting_too_little_does_not_help() -> None:
    """Before the debt is gone requests are refused, and asking does not make it longer."""
    bucket = Bucket(10, now_s=0)
    bucket.pay(35)
    assert [bucket.wait_s(now_s) for now_s in (0, 1, 2, 2.4, 2.6)] == [3, 2, 1, 1, 0]


def test_idle_bucket_does_not_overflow() -> None:
    """A day of silence saves up no more than one second's worth."""
    bucket = Bucket(10, now_s=0)
    assert bucket.wait_s(86_400) == 0
    assert bucket.balance == 10


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100))))
def test_no_more_than_the_rate_passes(rate_s: int, requests: list[tuple[int, int]]) -> None:
    """Over any time no more passes than the rate gives, one bucket and the last request's cost."""
    bucket, now_s, passed = Bucket(rate_s, now_s=0), 0, 0
    for pause_s, cost in requests:
        now_s += pause_s
        if bucket.wait_s(now_s) == 0:
            assert passed < rate_s * (now_s + 1)
            bucket.pay(cost)
            passed += cost


@given(st.integers(1, 1000), st.integers(0, 100_000))
def test_who_waits_as_told_is_let_in(rate_s: int, cost: int) -> None:
    """After the seconds that a refusal names a request passes."""
    bucket = Bucket(rate_s, now_s=0)
    bucket.pay(cost)
    assert bucket.wait_s(bucket.wait_s(0)) == 0
