"""Whether the time of a refusal tells its cause: a wrong signature, and where; an unknown project.

Each class of requests is measured 10,000 times, interleaved: every round has each class once, in
another order, so that whatever else the machine does meets all of them alike. Two classes are told
apart if their medians differ by more than 1 % and by more than the noise, which is how far two
classes that are the same differ. The noise may excuse no more than NOISE_MAX; a run that is worse
says nothing, and is done again. What differs must do so each time that it is measured anew. Two
verifiers with a leak show that the test would see one.
"""

import gc
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import pytest

from core.auth import keyed, sign
from core.errors import AuthFailure, Rejected, unauthorized
from core.head import Head
from core.kernels import Key
from core.metrics import Meter
from core.settings import read
from gateway import admission as admissions
from gateway.admission import Admission
from gateway.keyring import Credentials, Keyring
from gateway.quotas import Quotas
from gateway.sessions import Sessions, _Open
from gateway.standings import Standings
from gateway.tallies import Tallies
from gateway.usual import Usual

SAMPLES = 10_000
RUNS_MAX = 20
NOISE_MAX = 0.02
CONFIRMATIONS = 2
LEVEL = 0.01
NOW_S = 1_800_000_000
BODY = b'{"event":"saved","payload":{"text":"' + b"x" * 1000 + b'"}}'
SECRET = "whsec_test"
CLASSES = {  # of each one a twin, which is the same
    name + twin: name
    for name in ("unknown project", "first byte", "last byte")
    for twin in ("", " ")
}


def head_of(name: str) -> Head:
    """The head of a request that is refused for this."""
    project = "proj_2" if name == "unknown project" else "proj_1"
    signature = sign(SECRET, timestamp_s=NOW_S, body=BODY).encode()
    at = {"first byte": len("sha256="), "last byte": len(signature) - 1}.get(name)
    if at is not None:
        other = b"0" if signature[at : at + 1] != b"0" else b"1"
        signature = signature[:at] + other + signature[at + 1 :]
    return Head(project.encode(), b"%d" % NOW_S, signature, b"application/json")


@pytest.fixture
def admission() -> Admission:
    """One that knows proj_1, has its session, and knows that there is no proj_2."""
    settings, nothing = read({}), cast("Any", None)
    keyring = Keyring(
        cache=nothing,
        projects=nothing,
        sealer=nothing,
        ttl_s=1,
        entries_max=10,
        meter=Meter("gateway"),
    )
    known = Credentials("active", ((keyed(SECRET), None),))
    keyring._known.put("proj_1", known, float("inf"))
    keyring._unknown.put("proj_2", keyring._decoy, float("inf"))
    sessions = Sessions(nothing, entries_max=10)
    sessions._open["proj_1"] = _Open("sess_1", 1 << 60, provisional=False)
    return Admission(
        settings,
        keyring=keyring,
        sessions=sessions,
        queue=nothing,
        backlog=nothing,
        quotas=nothing,
        standings=Standings(Tallies(settings.partitions)),
        clock=lambda: NOW_S,
    )


def measured(refuse: Callable[[Head], object]) -> dict[str, float]:
    """Nanoseconds that each class takes, by its median."""
    heads = {name: head_of(of) for name, of in CLASSES.items()}
    times: dict[str, list[int]] = {name: [] for name in heads}
    order, clock = [*heads], time.perf_counter_ns
    gc.collect()
    gc.disable()
    try:
        for _ in range(SAMPLES):
            random.shuffle(order)
            for name in order:
                head = heads[name]
                begun = clock()
                try:
                    refuse(head)
                except Rejected:
                    ended = clock()
                times[name].append(ended - begun)
    finally:
        gc.enable()
    return {name: median(each) for name, each in times.items()}


def compared(refuse: Callable[[Head], object]) -> set[tuple[str, str]]:
    """The pairs of classes that differ in the first run that is quiet enough."""
    for _ in range(RUNS_MAX):
        times = measured(refuse)
        noise = max(abs(times[of] / times[name] - 1) for name, of in CLASSES.items())
        if noise <= NOISE_MAX:
            break
    else:
        pytest.fail(f"the machine is too busy to tell: noise of {noise:.1%}")
    names = sorted(set(CLASSES.values()))
    pairs = [(a, b) for a in names for b in names if a < b]
    return {(a, b) for a, b in pairs if abs(times[a] / times[b] - 1) > LEVEL + noise}


def told_apart(refuse: Callable[[Head], object]) -> set[tuple[str, str]]:
    """The pairs of classes that the time tells apart, each time."""
    found = compared(refuse)
    for _ in range(CONFIRMATIONS):
        if found:
            found &= compared(refuse)
    return found


def test_refusals_take_the_same_time(admission: Admission) -> None:
    """Unknown project, wrong first byte, wrong last byte: the time tells none from another."""
    assert told_apart(lambda head: admission.check_now(head, BODY)) == set()


@pytest.fixture
def usual(admission: Admission) -> Usual:
    """Where a request comes first; it knows proj_1."""
    settings, nothing = read({}), cast("Any", None)
    admission._standings.learn(
        "proj_1", "sess_1", keyed(SECRET), expires_s=float("inf"), ends_ms=1 << 60
    )
    return Usual(
        settings,
        standings=admission._standings,
        queue=nothing,
        backlog=cast("Any", Room()),
        quotas=Quotas(nothing, settings),
        told=nothing,
        clock=lambda: NOW_S,
    )


class Room:
    """A backlog with room."""

    full = ""


def refused_by(usual: Usual, admission: Admission) -> Callable[[Head], object]:
    """The whole way of a request that is refused."""
    served = cast("Any", None)

    def refuse(head: Head) -> object:
        ((_, left, body),) = usual.take([(served, head, BODY)])
        return admission.check_now(left, body)

    return refuse


def test_usual_refusals_take_the_same_time(usual: Usual, admission: Admission) -> None:
    """The same on the way that requests take first, where a wrong one is looked at twice."""
    assert told_apart(refused_by(usual, admission)) == set()


def test_missing_decoy_is_seen(usual: Usual, admission: Admission) -> None:
    """A first look that spares unknown projects the MAC is told by its time."""
    refuse = refused_by(usual, admission)

    def skipping(head: Head) -> object:
        if head.project and admission._standings.found.get(head.project) is None:
            return admission.check_now(head, BODY)
        return refuse(head)

    found = told_apart(skipping)
    assert {("first byte", "unknown project"), ("last byte", "unknown project")} <= found


def early_exit(keys: list[Key], *, timestamp: bytes, body: bytes, signature: bytes) -> bytes:
    """Compares byte by byte, and stops at the first that differs."""
    mac = keys[0].mac(timestamp, body)
    for given, expected in zip(signature, b"sha256=" + mac.hex().encode(), strict=True):
        if given != expected:
            raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return mac


def test_early_exit_is_seen(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that stops early is told by its time."""
    monkeypatch.setattr(admissions, "verify", early_exit)
    found = told_apart(lambda head: admission.check_now(head, BODY))
    assert ("first byte", "last byte") in found


def test_missing_work_is_seen(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that spares unknown projects the MAC is told by its time."""
    verify = admissions._verify

    def skipping(credentials: Credentials, head: Head, body: bytes, now_ms: int) -> bytes:
        if credentials.status is None:
            raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
        return verify(credentials, head, body, now_ms)

    monkeypatch.setattr(admissions, "_verify", skipping)
    found = told_apart(lambda head: admission.check_now(head, BODY))
    assert {("first byte", "unknown project"), ("last byte", "unknown project")} <= found


def test_session_tells_nothing(admission: Admission) -> None:
    """A project without an open session is refused as any other: at once, after the same steps."""
    admission._sessions._open.clear()
    for name in sorted(set(CLASSES.values())):
        with pytest.raises(Rejected) as caught:
            admission.check_now(head_of(name), BODY)
        unknown = name == "unknown project"
        failure = AuthFailure.UNKNOWN_PROJECT if unknown else AuthFailure.BAD_SIGNATURE
        assert caught.value.failure is failure
