"""What the usual request needs of its project, in one place: memory is far, and projects are many.

Requirements  A usual request must cost one lookup, however many projects send in turn; what is
              changed anywhere must count here as soon as it counts in keyring and sessions.
Solution      One object per project, made of what the two hold. Each drops it here whenever it
              drops its own, so nothing is here that is not there.
Cost          The first request after each change is not a usual one.
"""

from core.codec import opening
from core.kernels import Key
from core.ledger import ACCEPTED, field
from core.partitions import partition_of


class Standing:
    """An active project with one secret and an open session that the queue knows of."""

    __slots__ = (
        "ends_ms",
        "expires_s",
        "field",
        "key",
        "opening",
        "partition",
        "project",
        "session",
    )

    def __init__(
        self,
        project: str,
        session: str,
        key: Key,
        *,
        partition: int,
        expires_s: float,
        ends_ms: int,
    ) -> None:
        """expires_s: of the key, by time.monotonic. ends_ms: of the session, Unix ms."""
        self.key = key
        self.expires_s = expires_s
        self.ends_ms = ends_ms
        self.partition = partition
        self.project = project
        self.field = field(project, ACCEPTED)  # of the ledger
        self.session = session
        self.opening = opening(project, session)


class Standings:
    """The projects of usual requests, by the bytes of the header that names them."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self.found: dict[bytes, Standing] = {}

    def learn(
        self, project: str, session: str, key: Key, *, expires_s: float, ends_ms: int
    ) -> None:
        """Requests of this project are usual from now on, until either time or `forget`."""
        partition = partition_of(project, self._partitions)
        self.found[project.encode()] = Standing(
            project, session, key, partition=partition, expires_s=expires_s, ends_ms=ends_ms
        )

    def forget(self, project: str) -> None:
        """Something of it has changed, or may have."""
        self.found.pop(project.encode(), None)

    def forget_all(self) -> None:
        """The same of all."""
        self.found.clear()
