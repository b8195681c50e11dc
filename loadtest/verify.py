"""The conservation proof: what was acknowledged, against what is stored and dead-lettered.

    lost        acknowledged, and neither stored nor a dead letter
    duplicated  stored more than once
    altered     stored with a payload other than the one that was sent
    never sent  stored under this run's id, with a number that no process has made

An event's number says where its bit is and what its payload must be, so a million events take a few
hundred kilobytes, however large they were.
"""

from collections.abc import AsyncIterator

import msgspec

from core.ports import EventFilter, EventStore
from loadtest.events import TYPE, event_id, parse_id, payload
from loadtest.measure import Bits
from loadtest.run import Outcome

PAGE = 1_000
IDS_LISTED = 20  # of each kind


class Verdict(msgspec.Struct):
    """What the reconciliation has found; counts, and the first ids of each kind."""

    acknowledged: int = 0
    stored: int = 0
    dead_lettered: int = 0
    unacknowledged: int = 0  # stored without a 202: a connection broke in between; harmless
    lost: int = 0
    duplicated: int = 0
    altered: int = 0
    never_sent: int = 0
    ids: dict[str, list[str]] = {}

    @property
    def holds(self) -> bool:
        """Whether nothing was lost, duplicated, altered or invented."""
        return not (self.lost or self.duplicated or self.altered or self.never_sent)

    def list_id(self, kind: str, identity: str) -> None:
        """Count an event as of a kind, and keep its id if there is room."""
        setattr(self, kind, getattr(self, kind) + 1)
        listed = self.ids.setdefault(kind, [])
        if len(listed) < IDS_LISTED:
            listed.append(identity)


async def reconcile(
    outcome: Outcome, store: EventStore, *, project_id: str, dead: AsyncIterator[str]
) -> Verdict:
    """Compare a run's outcome with the store.

    dead: the ids of the project's dead letters. Reads the events of the run's time page by page.
    """
    plan = outcome.plan
    verdict = Verdict(ids={})
    stored = {process: Bits() for process in outcome.made}
    wanted = EventFilter(project_id, event=TYPE, after_ms=int(outcome.started_s * 1000) - 60_000)
    cursor = None
    while True:
        page = await store.page(wanted, limit=PAGE, cursor=cursor)
        for row in page.rows:
            _check(outcome, row.event_id, row.payload, stored, verdict)
        cursor = page.cursor
        if cursor is None:
            break
    buried = {process: Bits() for process in outcome.made}
    async for identity in dead:
        found = parse_id(identity, plan.run)
        if found and found[0] in buried:
            verdict.dead_lettered += found[1] not in buried[found[0]]
            buried[found[0]].add_range(found[1], 1)
    for process, acknowledged in outcome.acknowledged.items():
        verdict.acknowledged += len(acknowledged)
        kept = stored[process].union(buried[process])
        lost, numbers = acknowledged.minus(kept, IDS_LISTED)
        verdict.lost += lost
        ids = verdict.ids.setdefault("lost", [])
        ids += [event_id(plan.run, process, n) for n in numbers][: IDS_LISTED - len(ids)]
        verdict.unacknowledged += stored[process].minus(acknowledged, 0)[0]
    return verdict


def _check(
    outcome: Outcome, identity: str, text: str, stored: dict[int, Bits], verdict: Verdict
) -> None:
    """Look at one stored event."""
    found = parse_id(identity, outcome.plan.run)
    if found is None:
        return  # another run's
    process, number = found
    if number >= outcome.made.get(process, 0):
        verdict.list_id("never_sent", identity)
        return
    if number in stored[process]:
        verdict.list_id("duplicated", identity)
        return
    stored[process].add_range(number, 1)
    verdict.stored += 1
    if text != payload(identity, number, outcome.plan.payload_bytes):
        verdict.list_id("altered", identity)
