"""What a usual request needs of its project, in Python: see core/usual.py. What each does is told
here; the native ones do the same."""

from collections.abc import Sequence

from core.codec import opening
from core.kernels import Key

TALLY_BYTES_MAX = 66  # of its name: a project's id, and two more
BARS = 3  # in an opening
OPENING_BYTES_MAX = 104  # more than a project's id and a session's have together


class Tally:
    """One project's field of a partition's ledger, and what was seen of it."""

    __slots__ = ("name", "seen")

    def __init__(self, name: str) -> None:
        """name: the field's. Raises ValueError if it is not ASCII, or too long."""
        if not name.isascii() or len(name) > TALLY_BYTES_MAX:
            raise ValueError("a field's name is short ASCII")
        self.name = name
        self.seen = 0  # the count that came with the last acknowledgement


def note(tallies: Sequence[Tally], counts: Sequence[int]) -> None:
    """Remember the counts that came with an acknowledgement."""
    for tally, count in zip(tallies, counts, strict=True):
        tally.seen = count


def counts_as_arguments(counts: dict[Tally, int]) -> bytes:
    """Names and numbers in turn, each an argument in RESP."""
    return "".join(
        [
            f"${len(tally.name)}\r\n{tally.name}\r\n${len(number)}\r\n{number}\r\n"
            for tally, number in zip(counts, map(str, counts.values()), strict=True)
        ]
    ).encode("ascii")


class Standing:
    """An active project with one secret and an open session that the queue knows of."""

    __slots__ = (
        "ends_ms",
        "expires_s",
        "key",
        "opening",
        "partition",
        "project",
        "session",
        "tally",
    )

    def __init__(
        self,
        project: str,
        session: str,
        key: Key,
        tally: Tally,
        *,
        partition: int,
        expires_s: float,
        ends_ms: int,
    ) -> None:
        """expires_s: of the key, by time.monotonic. ends_ms: of the session, Unix ms.

        Raises ValueError if the ids are not ASCII, too long, or have a bar.
        """
        self.opening = opening(project, session)  # of its entries' headers
        if not self.opening.isascii() or len(self.opening) > OPENING_BYTES_MAX:
            raise ValueError("ids are short ASCII")
        if self.opening.count(b"|") != BARS:
            raise ValueError("an id has no bar")
        self.project = project
        self.session = session
        self.key = key
        self.tally = tally
        self.partition = partition
        self.expires_s = expires_s
        self.ends_ms = ends_ms


class Directory:
    """Standings, by the bytes of the header that names their projects."""

    def __init__(self) -> None:
        self._found: dict[bytes, Standing] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def get(self, project: bytes) -> Standing | None:
        """The one of this project, if it is there."""
        return self._found.get(project)

    def put(self, standing: Standing) -> None:
        """Have it found, in place of another of its project."""
        self._found[standing.project.encode()] = standing

    def drop(self, project: bytes) -> None:
        """Have it found no more; nothing happens if it is not there."""
        self._found.pop(project, None)

    def clear(self) -> None:
        """Drop all."""
        self._found.clear()
