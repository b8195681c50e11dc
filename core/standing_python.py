"""What a gateway knows of projects, in Python: see core/usual.py. What each does is told here; the
native ones do the same."""

from collections.abc import Sequence

from core.kernels import Key
from core.ledger import ACCEPTED, field

PROJECT_BYTES_MAX = 64  # of an id: see core.codec.PROJECT
SESSION_BYTES_MAX = 40  # more than ours have
NEVER = 0.0


class Standing:
    """A project: whether its requests are usual now, and what was seen of it in the ledger.

    They are usual while it is active, with one secret, and in a session that the queue knows of.
    At other times its key is one that nobody has.
    """

    __slots__ = ("ends_ms", "expires_s", "key", "partition", "project", "seen", "session")

    def __init__(self, project: str, nobody: Key, *, partition: int) -> None:
        """Its requests are not usual. nobody: the key that nobody has.

        Raises ValueError if the id is not ASCII, too long, or has a bar.
        """
        if not is_id(project, PROJECT_BYTES_MAX):
            raise ValueError("a project's id is short ASCII without a bar")
        self.project = project
        self.partition = partition
        self.seen = 0  # the count that came with the last acknowledgement
        self.end(nobody)

    def begin(self, session: str, key: Key, *, expires_s: float, ends_ms: int) -> None:
        """Requests are usual from now on, in this session. expires_s: of the key, by
        time.monotonic. ends_ms: of the session, Unix ms.

        Raises ValueError if the session's id is not ASCII, too long, or has a bar.
        """
        if not is_id(session, SESSION_BYTES_MAX):
            raise ValueError("a session's id is short ASCII without a bar")
        self.session = session
        self.key = key
        self.expires_s = expires_s
        self.ends_ms = ends_ms

    def end(self, nobody: Key) -> None:
        """Requests are not usual any more; of the key nothing is left."""
        self.begin("", nobody, expires_s=NEVER, ends_ms=0)

    @property
    def is_usual(self) -> bool:
        """Whether requests are usual, until either time has come."""
        return bool(self.expires_s)

    @property
    def name(self) -> str:
        """Of the ledger's field that counts what is accepted."""
        return field(self.project, ACCEPTED)


def is_id(text: str, bytes_max: int) -> bool:
    """Whether this can stand in an entry's header."""
    return text.isascii() and len(text) <= bytes_max and "|" not in text


def note(standings: Sequence[Standing], counts: Sequence[int]) -> None:
    """Remember the counts that came with an acknowledgement."""
    for standing, count in zip(standings, counts, strict=True):
        standing.seen = count


def counts_as_arguments(counts: dict[Standing, int]) -> bytes:
    """The names of the ledger's fields and numbers in turn, each an argument in RESP."""
    names = [standing.name for standing in counts]
    return "".join(
        [
            f"${len(name)}\r\n{name}\r\n${len(number)}\r\n{number}\r\n"
            for name, number in zip(names, map(str, counts.values()), strict=True)
        ]
    ).encode("ascii")


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
