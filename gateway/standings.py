"""What the gateway knows of each project, in one place: memory is far, and projects are many.

Requirements  A usual request must cost one lookup, however many projects send in turn; what is
              changed anywhere must count here as soon as it counts in keyring and sessions. Each
              acknowledged append is counted for its project, since a queue that forgets must be
              told what it held (gateway/witness.py).
Solution      One object per project, found once, and held by whoever appends for it. Its requests
              are usual by what keyring and sessions hold; each ends that here whenever it drops its
              own.
Cost          The first request after each change is not a usual one. So many projects per
              partition; beyond, those first seen longest ago are forgotten, with what is on its way
              for them just then, until their next append.
"""

from contextlib import suppress
from os import urandom

from core.auth import keyed
from core.kernels import Key
from core.ledger import ENTRIES
from core.partitions import partition_of
from core.usual import Directory, Standing

PROJECTS_MAX = 100_000  # of each partition


class Standings:
    """Each project's, in its partition."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._nobody = nobody = keyed(urandom(32).hex())
        self.decoy = Standing("", nobody, partition=0)  # in the place of what there is not
        # What stands for all projects of a partition together: it counts entries.
        self.entries = [Standing(ENTRIES, nobody, partition=at) for at in range(partitions)]
        self.found = Directory()
        self._seen_first: list[dict[str, Standing]] = [{} for _ in range(partitions)]

    def of(self, project: str) -> Standing:
        """A project's. Raises ValueError if its id is none of ours."""
        partition = partition_of(project, self.partitions)
        known = self._seen_first[partition]
        standing = known.get(project)
        if standing is None:
            standing = Standing(project, self._nobody, partition=partition)
            while len(known) >= PROJECTS_MAX:
                oldest = next(iter(known))
                known.pop(oldest).end(self._nobody)
                self.found.drop(oldest.encode())
            known[project] = standing
            self.found.put(standing)
        return standing

    def learn(
        self, project: str, session: str, key: Key, *, expires_s: float, ends_ms: int
    ) -> None:
        """Requests of this project are usual from now on, until either time or `forget`; unless
        its session's id is none of ours."""
        with suppress(ValueError):
            self.of(project).begin(session, key, expires_s=expires_s, ends_ms=ends_ms)

    def is_usual(self, project: bytes) -> bool:
        """Whether requests of this project, by its bytes in a header, are."""
        standing = self.found.get(project)
        return standing is not None and standing.is_usual

    def forget(self, project: str) -> None:
        """Something of it has changed, or may have."""
        standing = self.found.get(project.encode())
        if standing is not None:
            standing.end(self._nobody)

    def forget_all(self) -> None:
        """The same of all."""
        for known in self._seen_first:
            for standing in known.values():
                standing.end(self._nobody)

    def seen(self, partition: int) -> dict[str, int]:
        """The counts that were seen in the ledger, by field."""
        standings = (self.entries[partition], *self._seen_first[partition].values())
        return {standing.name: standing.seen for standing in standings if standing.seen}
