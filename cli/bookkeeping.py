"""The accounts of all projects, and what is lost, told only where it can be told exactly.

Requirements  Events flow while they are counted; a loss that an operator may write off must be one.
Solution      A stream is counted between two readings of its ledger. Where a project's counts are
              the same in both, no event of its came or went meanwhile, and its count is exact.
              Others are counted again; those that never rest are told of as in motion.
Cost          A partition in balance is read once and not counted.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from redis.asyncio import Redis

from core.ledger import Account, Book, Totals, account, total
from core.ports import LedgerStore
from runtime.ledger import count_stream, read_book

ATTEMPTS = 10
PAUSE_S = 0.2


class Page(NamedTuple):
    """One partition's ledger, with the stream counted where it is out of balance."""

    partition: int
    book: Book
    in_stream: dict[str, int]  # events by project, of those that could be counted exactly
    moving: frozenset[str]  # projects that could not
    too_long: bool  # the stream cannot be counted at all

    @property
    def balanced(self) -> bool:
        """Whether the stream holds as many entries as it should."""
        return not self.book.missing


class Accounts(NamedTuple):
    """What has become of all events."""

    pages: list[Page]
    projects: dict[str, Account]  # those in motion are here, too, with nothing lost

    @property
    def balanced(self) -> bool:
        """Whether every partition is in balance."""
        return all(page.balanced for page in self.pages)

    @property
    def lost(self) -> dict[str, int]:
        """Events lost by project; under 0: more turned up than was accepted."""
        return {project: a.lost for project, a in self.projects.items() if a.lost}

    @property
    def moving(self) -> list[str]:
        """Projects whose losses cannot be told now, since events of theirs flow."""
        return sorted({project for page in self.pages for project in page.moving})

    @property
    def too_long(self) -> list[int]:
        """Partitions out of balance whose streams are too long to be counted."""
        return [page.partition for page in self.pages if page.too_long]

    def lost_in(self, partition: int) -> dict[str, int]:
        """Of what is lost, what this partition's ledger is to be corrected by."""
        return {p: n for p, n in self.lost.items() if self._home(p) == partition}

    def _home(self, project: str) -> int:
        pages = [page for page in self.pages if project in page.book.projects]
        return next((page.partition for page in pages if not page.balanced), pages[0].partition)


async def read_accounts(queue: Redis, store: LedgerStore, partitions: int) -> Accounts:
    """The accounts of all projects. Raises RedisError, Unavailable."""
    pages = [await read_page(queue, partition) for partition in range(partitions)]
    projects = {project for page in pages for project in page.book.projects}
    stored = await store.stored(projects)
    accounts = {}
    for project in sorted(projects):
        own = [page for page in pages if project in page.book.projects]
        totals = total(page.book.projects[project] for page in own)
        in_stream = _in_stream(own, project)
        accounts[project] = account(totals, stored=stored.get(project, 0), in_stream=in_stream)
    return Accounts(pages, accounts)


def _in_stream(pages: Iterable[Page], project: str) -> int | None:
    """Events of a project in its streams; None if none is to be counted, or one cannot be."""
    counted, known = 0, False
    for page in pages:
        if page.balanced:
            counted += page.book.projects[project].outstanding
        elif project in page.in_stream:
            counted, known = counted + page.in_stream[project], True
        else:
            return None
    return counted if known else None


async def read_page(queue: Redis, partition: int) -> Page:
    """A partition's ledger, and what its stream holds if it is out of balance."""
    exact: dict[str, int] = {}
    moving: frozenset[str] = frozenset()
    totals: dict[str, Totals] = {}
    book = await read_book(queue, partition)
    for attempt in range(ATTEMPTS):
        if not book.missing:
            break
        if attempt:
            await asyncio.sleep(PAUSE_S)
        before = await read_book(queue, partition)
        found = await count_stream(queue, partition)
        book = await read_book(queue, partition)
        if found is None:
            return Page(partition, book, {}, frozenset(), too_long=True)
        _keep_exact(before, found, book, exact, totals)
        moving = frozenset(book.projects.keys() - exact.keys())
        if not moving:
            break
    steady = book._replace(projects={**book.projects, **totals})
    return Page(partition, steady, exact, moving, too_long=False)


def _keep_exact(
    before: Book, found: Counter[str], after: Book, exact: dict[str, int], totals: dict[str, Totals]
) -> None:
    """Take down the projects whose counts did not change while the stream was counted."""
    for project, counts in after.projects.items():
        if before.projects.get(project) == counts:
            exact[project], totals[project] = found[project], counts
