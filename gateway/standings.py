"""What the usual request needs of its project, in one place: memory is far, and projects are many.

Requirements  A usual request must cost one lookup, however many projects send in turn; what is
              changed anywhere must count here as soon as it counts in keyring and sessions.
Solution      One object per project, made of what the two hold. Each drops it here whenever it
              drops its own, so nothing is here that is not there.
Cost          The first request after each change is not a usual one.
"""

from contextlib import suppress

from core.kernels import Key
from core.partitions import partition_of
from core.usual import Directory, Standing
from gateway.tallies import Tallies


class Standings:
    """The projects of usual requests, by the bytes of the header that names them."""

    def __init__(self, tallies: Tallies) -> None:
        self._tallies = tallies
        tallies.forgot = self.forget
        self.found = Directory()

    def learn(
        self, project: str, session: str, key: Key, *, expires_s: float, ends_ms: int
    ) -> None:
        """Requests of this project are usual from now on, until either time or `forget`; unless
        its ids are none of ours."""
        with suppress(ValueError):
            standing = Standing(
                project,
                session,
                key,
                self._tallies.of(project),
                partition=partition_of(project, self._tallies.partitions),
                expires_s=expires_s,
                ends_ms=ends_ms,
            )
            self.found.put(standing)

    def forget(self, project: str) -> None:
        """Something of it has changed, or may have."""
        self.found.drop(project.encode())

    def forget_all(self) -> None:
        """The same of all."""
        self.found.clear()
