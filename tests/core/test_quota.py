"""Time is an argument, so every wait is exact; the property: who waits as told is let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quota import DEBT_S, Bucket


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


def test_others_use_counts() -> None:
    """What others have let in since the last time is taken from this bucket, once."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(1_000, told=0, now_s=0)
    assert bucket.balance == 10
    bucket.learn(1_007, told=0, now_s=0)
    bucket.learn(1_007, told=0, now_s=0)
    assert bucket.balance == 3


def test_own_use_counts_once() -> None:
    """What this bucket has paid is told once, and not taken for others' use."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(0, told=bucket.tell(), now_s=0)
    bucket.pay(4)
    told = bucket.tell()
    bucket.pay(1)
    bucket.learn(4 + 2, told, now_s=0)
    assert (told, bucket.tell(), bucket.balance) == (4, 1, 3)


def test_counter_made_anew() -> None:
    """A counter that went back was deleted: what it holds besides our share is others' use."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(1_000, told=0, now_s=0)
    bucket.learn(8, told=3, now_s=0)
    assert bucket.balance == 5
    bucket.learn(2, told=3, now_s=0)  # deleted between our share and the next
    assert bucket.balance == 5


def test_forgotten_counter() -> None:
    """After a failure the next total is only remembered: part of it may be ours."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(0, told=0, now_s=0)
    bucket.forget()
    bucket.learn(500, told=0, now_s=0)
    assert bucket.balance == 10
    bucket.learn(501, told=0, now_s=0)
    assert bucket.balance == 9


def test_idle_bucket_owes_nothing() -> None:
    """Where others used the whole quota for an hour that this bucket was idle, it stays full."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(0, told=0, now_s=0)
    bucket.learn(36_000, told=0, now_s=3_600)
    assert (bucket.balance, bucket.wait_s(3_600)) == (10, 0)
    bucket.learn(36_004, told=0, now_s=3_600)  # those hours do not pay for later use
    assert bucket.balance == 6


def test_debt_by_others_is_capped() -> None:
    """Others put a bucket into no more than ten seconds' debt; one that is deeper stays there."""
    bucket = Bucket(10, now_s=0)
    bucket.learn(0, told=0, now_s=0)
    bucket.learn(10**9, told=0, now_s=0)
    assert bucket.balance == -10 * DEBT_S
    bucket.pay(50)
    bucket.learn(2 * 10**9, told=0, now_s=0)
    assert bucket.balance == -10 * DEBT_S - 50


class Fleet:
    """Buckets that share a counter, as gateway/quotas.py has them do through the queue."""

    def __init__(self, size: int, rate_s: int) -> None:
        self.buckets = [Bucket(rate_s, 0) for _ in range(size)]
        self.now_s = 0.0
        self.passed = 0
        self._total = 0
        self.tell()

    def request(self, gateway: int, cost: int) -> None:
        """One request to one of them."""
        if self.buckets[gateway].wait_s(self.now_s) == 0:
            self.buckets[gateway].pay(cost)
            self.passed += cost

    def tell(self) -> None:
        """Each tells and learns."""
        for bucket in self.buckets:
            self._total += (told := bucket.tell())
            bucket.learn(self._total, told, self.now_s)


@given(
    st.integers(20, 50),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.booleans()), max_size=300),
)
def test_fleet_keeps_the_quota(rate_s: int, requests: list[tuple[int, int, bool]]) -> None:
    """Four gateways let in no more than the quota over any time, and for each of them one second's
    worth, what comes between two tellings, and a request."""
    fleet = Fleet(4, rate_s)
    for gateway, cost, telling in requests:
        fleet.request(gateway, cost)
        assert fleet.passed <= rate_s * fleet.now_s + 4 * (rate_s * 1.25 + 40)
        if telling:
            fleet.now_s += 0.25
            fleet.tell()


@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_flooded_fleet(size: int) -> None:
    """Flooded for two minutes, a fleet of any usual size lets in the quota, and at the start what
    each gateway lets in before it knows of the others."""
    fleet = Fleet(size, 100)
    for _ in range(120 * 20):
        for gateway in range(size):
            for _ in range(8):
                fleet.request(gateway, 2)
        fleet.now_s += 0.05
        if round(fleet.now_s * 20) % 5 == 0:
            fleet.tell()
    assert 0.9 * 100 * 120 <= fleet.passed <= 100 * 120 + size * 125 + size * 2
