"""The doctor's checks of the ledger: is everything accounted for, and is the queue the same one."""

from collections.abc import Iterable
from typing import NamedTuple

from redis.asyncio import Redis

from cli.bookkeeping import read_accounts
from cli.findings import Answer, Check, broken, holds, some, unchecked, warning
from core.ledger import ENTRIES, Totals, total
from core.partitions import stream_key
from core.ports import LedgerStore
from runtime.ledger import read_book

START_WORKER = "contox-ingest worker"
SHOW, WRITE_OFF = "contox-ingest ledger", "contox-ingest ledger write-off"


class Ledger(NamedTuple):
    """Both sides of the ledger, and what people call the projects."""

    queue: Redis
    store: LedgerStore
    partitions: int
    names: dict[str, str]
    where: str = ""  # the option that makes a command mean this ledger


async def check_balance(ledger: Ledger) -> Iterable[Answer]:
    """Every partition in balance; if not, who lost how much."""
    found = await read_accounts(ledger.queue, ledger.store, ledger.partitions)
    if found.balanced:
        sums = total(t for page in found.pages for t in page.book.projects.values())
        return holds(
            f"{some(sums.accepted, 'event')} accepted, {max(sums.outstanding, 0):,} in flight,"
            f" none lost; {some(len(found.projects), 'project')},"
            f" {some(ledger.partitions, 'partition')}"
        )
    entries = ", ".join(
        f"{stream_key(page.partition)} {_missing(page.book.missing)}"
        for page in found.pages
        if not page.balanced
    )
    if found.too_long:
        return broken(
            f"{entries}; the stream is too long to tell whose",
            "Let the workers catch up, then look again.",
            SHOW + ledger.where,
        )
    answers = [
        answer
        for project, lost in found.lost.items()
        for answer in _lost(ledger, project, lost, entries)
    ]
    if found.moving:
        moving = ", ".join(ledger.names.get(p, p) for p in found.moving)
        answers += warning(
            f"{entries}; of {moving}, events flow too fast to be counted",
            "Look again in a quieter moment.",
            SHOW + ledger.where,
        )
    return answers or warning(
        f"{entries}; their events are all stored",
        "Write the entries off.",
        WRITE_OFF + ledger.where,
    )


def _missing(entries: int) -> str:
    more = "more than were appended" if entries < 0 else "missing"
    return f"{some(abs(entries), 'entry', 'entries')} {more}"


def _lost(ledger: Ledger, project: str, events: int, entries: str) -> list[Answer]:
    name, command = ledger.names.get(project, project), WRITE_OFF + ledger.where
    if events < 0:
        found = f"{name}: {some(-events, 'event')} more than were accepted ({entries})"
        return broken(found, "See who else writes to the queue; then correct the ledger.", command)
    return broken(
        f"{name}: {some(events, 'event')} accepted and lost ({entries})",
        "Have the producer send them again, if it can; then write them off, which ends the alarm.",
        command,
    )


async def check_identity(ledger: Ledger) -> Iterable[Answer]:
    """The ledger's id, per partition, against the one that the store remembers."""
    answers, known = list[Answer](), 0
    for partition in range(ledger.partitions):
        remembered = await ledger.store.queue_id(partition)
        copy = await ledger.store.copy(partition)  # before the book, which is then the newer one
        book = await read_book(ledger.queue, partition)
        known += remembered is not None
        if remembered is None and book.queue_id:
            answers += warning(
                f"{stream_key(partition)} is not known to the store: no worker has seen it yet",
                "Start a worker.",
                START_WORKER,
            )
        elif remembered is not None and remembered != book.queue_id:
            answers += _another(partition, book.queue_id, copy)
        elif forgotten := _forgotten(copy, book.projects):
            answers += broken(
                f"{stream_key(partition)} has come back without its last writes:"
                f" {some(forgotten, 'event')} fewer were accepted than the store remembers",
                "See why the queue lost its file's end; have producers send again what is missing.",
                SHOW + ledger.where,
            )
    told = f"{known} of {some(ledger.partitions, 'partition')} known, unchanged"
    return answers or (holds(told) if known else unchecked("nothing has been accepted yet"))


def _another(partition: int, queue_id: str, copy: dict[str, Totals]) -> list[Answer]:
    """A queue other than the one that the store remembers."""
    then = total(t for project, t in copy.items() if project != ENTRIES)
    what = "was replaced by another" if queue_id else "was emptied"
    return broken(
        f"{stream_key(partition)} {what}; the store remembers {then.accepted:,} events accepted,"
        f" {max(then.outstanding, 0):,} of them in flight",
        "See that CONTOX_REDIS_URL is right. If it is, start a worker, which restores the ledger;"
        f" then see what was lost: {SHOW}",
        START_WORKER,
    )


def _forgotten(copy: dict[str, Totals], now: dict[str, Totals]) -> int:
    return sum(
        max(totals.accepted - now.get(project, Totals()).accepted, 0)
        for project, totals in copy.items()
        if project != ENTRIES
    )


CHECKS = (
    Check("Every accepted event is accounted for", check_balance),
    Check("The queue is the one that it was", check_identity),
)
