"""A campaign: faults strike a rig one after another, under one load that ends in a proof.

After each fault probes are posted until one is answered 202, and the store is asked until it has
that one. The time from the injection until then is the recovery. The order is by a seed.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from tests.system.faults import Fault
from tests.system.load import Load
from tests.system.processes import wait_until
from tests.system.rig import Rig, Wanted

RECOVERY_S = 5.0  # that a fault may be felt beyond its own duration, on a machine of its own
SHORT_RECOVERY_S = 30.0  # … beside other tests: that it recovers by itself is the fact there
PATIENCE_S = 45.0
SETTLE_S = 60

Tell = Callable[[str], None]


@dataclass
class Row:
    """What came of one fault."""

    fault: str
    at_s: float
    duration_s: float
    accepted_s: float = 0.0  # from the injection until a probe after it was answered 202
    recovery_s: float = 0.0  # … and stored
    lasted_s: float = 0.0  # from the injection until it was healed
    wrong: str = ""


@dataclass
class Part:
    """What a part of the suite has shown."""

    name: str
    rows: list[Row] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)  # fact: empty if it holds, or why not
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def check(self, fact: str, holds: bool, seen: object = "") -> None:
        """Note whether a fact holds."""
        self.checks[fact] = "" if holds else f"it does not: {seen}"

    @property
    def wrong(self) -> list[str]:
        """What is not as it should be."""
        rows = [f"{row.fault}: {row.wrong}" for row in self.rows if row.wrong]
        return rows + [f"{fact}: {why}" for fact, why in self.checks.items() if why]

    def as_json(self) -> dict[str, Any]:
        """As it goes into the report."""
        return {**asdict(self), "wrong": self.wrong}


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a campaign is run."""

    name: str
    wanted: Wanted
    faults: tuple[Fault, ...]
    load: tuple[str, ...]
    long: bool
    seed: int
    gap_s: float
    at_least_s: float = 0.0


def campaign(course: Course, tell: Tell) -> Part:
    """Run all faults of a course, and prove that what was acknowledged is stored."""
    part, begun_s = Part(course.name), time.monotonic()
    with Rig(course.wanted) as rig:
        load = Load(rig, "load", *course.load, "--seed", str(course.seed))
        try:
            for fault in in_turn(course):
                row = struck(rig, fault, load, course.long)
                part.rows.append(row)
                tell(
                    f"{row.at_s:7.1f} s  {fault.name}: recovery {row.recovery_s:.2f} s {row.wrong}"
                )
                if not settled(rig, course.gap_s):
                    row.wrong += "the stack did not become ready again"
                    tell(rig.state())
                    break
            while load.elapsed_s < course.at_least_s:
                time.sleep(0.5)
            spooled = "spool_entries"
            wait_until(lambda: not rig.metric(spooled), SETTLE_S, "the spool to be empty")
            load.halt()
            prove(part, load.report(), course.faults)
        finally:
            load.end()
    part.seconds = round(time.monotonic() - begun_s, 1)
    return part


def settled(rig: Rig, gap_s: float) -> bool:
    """Wait until every part is ready, and a little more; False: one did not become so."""
    try:
        wait_until(rig.ready, SETTLE_S, "readiness")
    except TimeoutError:
        return False
    time.sleep(gap_s)
    return True


def in_turn(course: Course) -> Iterable[Fault]:
    """The faults of a course in the seed's order: each once, or in the long form its rounds."""
    faults = [f for f in course.faults for _ in range(f.rounds if course.long else 1)]
    Random(course.seed).shuffle(faults)
    return faults


def struck(rig: Rig, fault: Fault, load: Load, long: bool) -> Row:
    """Inject a fault, heal it, and measure the recovery."""
    duration_s = fault.long_s if long else fault.short_s
    row = Row(fault.name, round(load.elapsed_s, 1), duration_s)
    begun_s = time.monotonic()
    try:
        with fault.strike(rig):
            begun_s = time.monotonic()
            if fault.meanwhile is not None:
                row.wrong = not_felt(rig, fault.meanwhile, duration_s)
            time.sleep(max(0.0, begun_s + duration_s - time.monotonic()))
        row.lasted_s = round(time.monotonic() - begun_s, 2)
        row.accepted_s = round(recovered(rig) - begun_s, 2)
    except (AssertionError, TimeoutError) as error:
        row.wrong += f"{error}. "
    row.recovery_s = round(time.monotonic() - begun_s, 2)
    own_s = row.lasted_s if duration_s else 0.0  # a restart is no excuse, healing is
    if row.recovery_s > own_s + (RECOVERY_S if long else SHORT_RECOVERY_S):
        row.wrong += f"recovery took {row.recovery_s} s"
    return row


def not_felt(rig: Rig, wanted: int, duration_s: float) -> str:
    """Post a probe halfway; a refusal may take until the end to show. Says what was amiss."""
    until_s = time.monotonic() + duration_s
    time.sleep(duration_s / 2)
    while (status := rig.producer.post(rig.producer.new_id())) != wanted:
        if wanted == 202 or time.monotonic() > until_s:
            return f"a probe meanwhile got {status}, not {wanted}. "
        time.sleep(0.1)
    return ""


def recovered(rig: Rig) -> float:
    """Return once a probe has been answered 202 and is stored; when it was answered."""
    producer, ids = rig.producer, list[str]()

    def accepted() -> bool:
        ids.append(producer.new_id())
        return producer.post(ids[-1]) == 202

    wait_until(accepted, PATIENCE_S, "a probe to be accepted")
    accepted_s = time.monotonic()
    wait_until(lambda: rig.store.has(ids[-1]), PATIENCE_S, "an accepted probe to be stored")
    return accepted_s


def prove(part: Part, report: dict[str, Any], faults: tuple[Fault, ...]) -> None:
    """Note what the load test has found."""
    verify, counts = report["verify"], report["counts"]
    allowed = {refusal for fault in faults for refusal in fault.leaves}
    part.figures = {"verify": verify, "counts": counts, "latencyMs": report["latencyMs"]}
    part.check("nothing acknowledged is lost, doubled or altered", verify["holds"], verify)
    part.check("every request is answered in the end", not counts["unanswered"], counts)
    part.check("no request is refused", set(counts["refused"]) <= allowed, counts["refused"])
