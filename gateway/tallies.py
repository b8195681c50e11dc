"""The tallies of all projects: what this gateway has seen of the ledger.

Requirements  Each acknowledged append updates its project's tally, however many projects there are;
              a queue that forgets must be told what it held (gateway/witness.py).
Solution      One object per project, found once, and held by whoever appends for it.
Cost          So many projects per partition; beyond, those first seen longest ago are forgotten,
              with what is on its way for them just then, until their next append.
"""

from collections.abc import Callable

from core.ledger import ACCEPTED, ENTRIES, field
from core.partitions import partition_of
from core.usual import Tally

PROJECTS_MAX = 100_000  # of each partition


class Tallies:
    """Each project's tally, in its partition."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.entries = [Tally(field(ENTRIES, ACCEPTED)) for _ in range(partitions)]  # by partition
        self.forgot: Callable[[str], None] = lambda _project: None  # told of each that is forgotten
        self._found: list[dict[str, Tally]] = [{} for _ in range(partitions)]

    def of(self, project: str) -> Tally:
        """A project's tally."""
        found = self._found[partition_of(project, self.partitions)]
        tally = found.get(project)
        if tally is None:
            while len(found) >= PROJECTS_MAX:
                oldest = next(iter(found))
                del found[oldest]
                self.forgot(oldest)
            tally = found[project] = Tally(field(project, ACCEPTED))
        return tally

    def seen(self, partition: int) -> dict[str, int]:
        """The counts that were seen, by field."""
        tallies = (self.entries[partition], *self._found[partition].values())
        return {tally.name: tally.seen for tally in tallies if tally.seen}
