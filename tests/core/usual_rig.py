"""A judge of usual requests, of either twin, with what it asks and tells."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from core.auth import keyed
from core.body import Limits
from core.codec import middle_of_one
from core.head import Head
from core.standing_python import Standing
from core.usual_python import Judge, Moment, Stamp

BUILT = find_spec("core.usual_native") is not None


def twin_of(kind: str) -> ModuleType:
    """What the modules of one kind have together."""
    twin = ModuleType(f"core.*_{kind}")
    for name in ("standing", "usual"):
        found = vars(import_module(f"core.{name}_{kind}"))
        vars(twin).update({key: value for key, value in found.items() if key[0] != "_"})
    return twin


TWINS = [twin_of(kind) for kind in (("python", "native") if BUILT else ("python",))]
twins = pytest.mark.parametrize("twin", TWINS)
NOBODY = keyed("nobody")
SECRET, SESSION = "whsec_" + "1" * 32, "sess_01HF7YAT00ABCDEFGHJKMNPQRS"
NOW_S = 1_705_312_200
NOW_MS = NOW_S * 1000 + 7
LIMITS = Limits(event_bytes_max=4_000, event_types=frozenset())
ANSWER = ("<", "|", ">")
EVENT = b'{"event":"saved","payload":{"n":1}}'
WITH_ID = b'{"event":"saved","id":"my-1","timestamp":1,"payload":{"n":"\xc3\xbc"}}'
PROJECTS = [f"proj_{number}" for number in range(150)]  # more than a table begins with


def standing(twin: ModuleType, project: str, **changed: Any) -> Standing:
    """A project's, which lasts."""
    values = {"expires_s": 10.0, "ends_ms": NOW_MS + 1, **changed}
    found: Standing = twin.Standing(project, NOBODY, partition=values.pop("partition", 0))
    found.begin(SESSION, keyed(SECRET), **values)
    return found


class Rig(NamedTuple):
    """A judge, and what it is given and tells."""

    judge: Judge
    bundled: list[Any]  # each that was begun
    failed: list[BaseException | None]
    moment: Moment
    kept: list[Any]  # full ones

    def take(self, requests: list[Any]) -> list[Any]:
        """Have them judged."""
        return self.judge.take(requests, self.moment)

    def result(self, others: list[Any]) -> object:
        """All that has come of it, alike for both twins."""
        gathered = [
            (
                bundle.partition,
                bytes(bundle.wire),
                bundle.body_bytes,
                {one.name: events for one, events in bundle.events.items()},
                bundle.ones,
            )
            for bundle in self.bundled
        ]
        return [one[0] for one in others], gathered


def stamp_of(timestamp: bytes) -> Stamp | None:
    """Of numbers that are close to now."""
    if not timestamp.isdigit() or abs(int(timestamp) - NOW_S) > 300:
        return None
    return b"%d|" % int(timestamp), int(timestamp)


def rig(
    twin: ModuleType,
    standings: list[Standing],
    *,
    limits: Limits = LIMITS,
    stamp: Callable[[bytes], Stamp | None] = stamp_of,
    stamps: dict[bytes, Stamp] | None = None,
    bundle: Callable[[Any, int, Moment], Any] | None = None,
) -> Rig:
    """A judge that knows these."""
    directory = twin.Directory()
    for one in standings:
        directory.put(one)
    bundled: list[Any] = []
    failed: list[BaseException | None] = []
    kept: list[Any] = []

    def next_bundle(full: Any, partition: int, moment: Moment) -> Any:
        if full is not None:
            kept.append(full)
        bundled.append(twin.Gathered(partition))
        moment.bundles[partition] = bundled[-1]
        return bundled[-1]

    decoy = twin.Standing("", NOBODY, partition=0)
    judge = twin.Judge(
        limits,
        bytes_max=5_000,
        found=directory,
        decoy=decoy,
        stamps={} if stamps is None else stamps,
        stamp=stamp,
        bundle=bundle or next_bundle,
        failed=lambda: failed.append(sys.exception()),
        answer=ANSWER,
    )
    moment = Moment(NOW_MS, 5.0, 0.0, middle_of_one(NOW_MS), {})
    return Rig(judge, bundled, failed, moment, kept)


def head(body: bytes, *, secret: str = SECRET, **changed: bytes | None) -> Head:
    """A usual one, but for these values."""
    timestamp = changed.get("timestamp") or b"%d" % NOW_S
    values: dict[str, bytes | None] = {
        "project": b"proj_1",
        "timestamp": timestamp,
        "signature": b"sha256=" + keyed(secret).mac(timestamp, body).hex().encode(),
        "content_type": b"application/json",
    }
    return Head(**{**values, **changed})
