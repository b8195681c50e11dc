"""Whether the time of a refusal tells its cause: a wrong signature, and where; an unknown project.

Each class of requests is measured in SET_UPS gateways, with other ids and keys in each, since where
these lie in tables and memory decides some nanoseconds, too: a class is told by what it has alike
in all of them. In each, classes are interleaved: every round has each class, in another order, so
that whatever else the machine does meets all of them alike; and as many requests of unknown
projects as of known ones, so that the processor expects neither.

Two classes are told apart if they differ by more than LEVEL and by more than the noise, which is
how far two classes that are the same differ. The noise may excuse no more than NOISE_MAX; a run
that is worse says nothing, and is done again. What differs must do so each time that it is measured
anew. Verifiers with a leak show that the test would see one.
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
from gateway.usual import Usual

SET_UPS = 20
ROUNDS = 1_000  # in each of them
RUNS_MAX = 20
NOISE_MAX = 0.02
CONFIRMATIONS = 2
LEVEL = 0.01
NOW_S = 1_800_000_000
BODY = b'{"event":"saved","payload":{"text":"' + b"x" * 1000 + b'"}}'
SECRET = "whsec_test"
SHARES = {"unknown project": 2, "first byte": 1, "last byte": 1}  # of the requests of a round
CLASSES = {name + twin: name for name in SHARES for twin in ("", " ")}  # each has a twin
Refuse = Callable[[Head], object]


def head_of(name: str, known: str = "proj_1", unknown: str = "proj_2") -> Head:
    """The head of a request that is refused for this."""
    project = unknown if name == "unknown project" else known
    signature = sign(SECRET, timestamp_s=NOW_S, body=BODY).encode()
    at = {"first byte": len("sha256="), "last byte": len(signature) - 1}.get(name)
    if at is not None:
        other = b"0" if signature[at : at + 1] != b"0" else b"1"
        signature = signature[:at] + other + signature[at + 1 :]
    return Head(project.encode(), b"%d" % NOW_S, signature, b"application/json")


def admission_of(known: str = "proj_1", unknown: str = "proj_2") -> Admission:
    """One that knows a project, has its session, and knows that there is no other one."""
    settings, nothing = read({}), cast("Any", None)
    keyring = Keyring(
        cache=nothing,
        projects=nothing,
        sealer=nothing,
        ttl_s=1,
        entries_max=10,
        meter=Meter("gateway"),
    )
    keyring._known.put(known, Credentials("active", ((keyed(SECRET), None),)), float("inf"))
    keyring._unknown.put(unknown, keyring._decoy, float("inf"))
    sessions = Sessions(nothing, entries_max=10)
    sessions._open[known] = _Open("sess_1", 1 << 60, provisional=False)
    return Admission(
        settings,
        keyring=keyring,
        sessions=sessions,
        queue=nothing,
        backlog=nothing,
        quotas=nothing,
        standings=Standings(settings.partitions),
        clock=lambda: NOW_S,
    )


def check(admission: Admission) -> Refuse:
    """The way of what is not a usual request."""
    return lambda head: admission.check_now(head, BODY)


def measured(way: Callable[[Admission], Refuse]) -> dict[str, float]:
    """Nanoseconds that each class takes in one more gateway, by its median."""
    known, unknown = (f"proj_{random.getrandbits(64):016x}" for _ in range(2))
    refuse = way(admission_of(known, unknown))
    heads = {name: head_of(of, known, unknown) for name, of in CLASSES.items()}
    times: dict[str, list[int]] = {name: [] for name in heads}
    order = [name for name, of in CLASSES.items() for _ in range(SHARES[of])]
    clock = time.perf_counter_ns
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
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


def compared(way: Callable[[Admission], Refuse]) -> set[tuple[str, str]]:
    """The pairs of classes that differ in the first run that is quiet enough."""
    for _ in range(RUNS_MAX):
        runs = [measured(way) for _ in range(SET_UPS)]
        noise = max(difference(runs, name, of) for name, of in CLASSES.items())
        if noise <= NOISE_MAX:
            break
    else:
        pytest.fail(f"the machine is too busy to tell: noise of {noise:.1%}")
    pairs = [(a, b) for a in sorted(SHARES) for b in sorted(SHARES) if a < b]
    return {(a, b) for a, b in pairs if difference(runs, a, b) > LEVEL + noise}


def difference(runs: list[dict[str, float]], name: str, other: str) -> float:
    """How far two classes differ, as a share, by the median of all gateways."""
    return abs(median(run[name] / run[other] for run in runs) - 1)


def told_apart(way: Callable[[Admission], Refuse]) -> set[tuple[str, str]]:
    """The pairs of classes that the time tells apart, each time."""
    found = compared(way)
    for _ in range(CONFIRMATIONS):
        if found:
            found &= compared(way)
    return found


def test_refusals_take_the_same_time() -> None:
    """Unknown project, wrong first byte, wrong last byte: the time tells none from another."""
    assert told_apart(check) == set()


class Room:
    """A backlog with room."""

    full = ""


def usual_of(admission: Admission) -> Usual:
    """Where a request comes first; it knows the project that admission knows."""
    settings, nothing = read({}), cast("Any", None)
    (known,) = admission._keyring._known
    admission._standings.learn(
        known, "sess_1", keyed(SECRET), expires_s=float("inf"), ends_ms=1 << 60
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


def usual_first(admission: Admission) -> Refuse:
    """The whole way of a request that is refused."""
    usual, served = usual_of(admission), cast("Any", None)

    def refuse(head: Head) -> object:
        ((_, left, body),) = usual.take([(served, head, BODY)])
        return admission.check_now(left, body)

    return refuse


def test_usual_refusals_take_the_same_time() -> None:
    """The same on the way that requests take first, where a wrong one is looked at twice."""
    assert told_apart(usual_first) == set()


def without_decoy(admission: Admission) -> Refuse:
    """A first look that spares unknown projects the MAC."""
    refuse = usual_first(admission)

    def skipping(head: Head) -> object:
        if head.project and not admission._standings.is_usual(head.project):
            return admission.check_now(head, BODY)
        return refuse(head)

    return skipping


def test_missing_decoy_is_seen() -> None:
    """It is told by its time."""
    found = told_apart(without_decoy)
    assert {("first byte", "unknown project"), ("last byte", "unknown project")} <= found


def early_exit(keys: list[Key], *, timestamp: bytes, body: bytes, signature: bytes) -> bytes:
    """Compares byte by byte, and stops at the first that differs."""
    mac = keys[0].mac(timestamp, body)
    for given, expected in zip(signature, b"sha256=" + mac.hex().encode(), strict=True):
        if given != expected:
            raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return mac


def test_early_exit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that stops early is told by its time."""
    monkeypatch.setattr(admissions, "verify", early_exit)
    found = told_apart(check)
    assert ("first byte", "last byte") in found


def test_missing_work_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that spares unknown projects the MAC is told by its time."""
    verify = admissions._verify

    def skipping(credentials: Credentials, head: Head, body: bytes, now_ms: int) -> bytes:
        if credentials.status is None:
            raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
        return verify(credentials, head, body, now_ms)

    monkeypatch.setattr(admissions, "_verify", skipping)
    found = told_apart(check)
    assert {("first byte", "unknown project"), ("last byte", "unknown project")} <= found


def test_session_tells_nothing() -> None:
    """A project without an open session is refused as any other: at once, after the same steps."""
    admission = admission_of()
    admission._sessions._open.clear()
    for name in SHARES:
        with pytest.raises(Rejected) as caught:
            admission.check_now(head_of(name), BODY)
        unknown = name == "unknown project"
        failure = AuthFailure.UNKNOWN_PROJECT if unknown else AuthFailure.BAD_SIGNATURE
        assert caught.value.failure is failure
