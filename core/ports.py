"""What gateway and worker need of the world, as contracts; each says what it does not promise.

Every port has one contract suite (tests/contracts/), run on the fake in core/testing.py and on
every real adapter.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from core.codec import Entry
from core.errors import Unavailable
from core.event import Row
from core.ledger import Totals
from core.usual import Standing
from core.words import IDENTIFIER


class Secret(NamedTuple):
    """One signing secret of a project, opened."""

    text: str
    expires_ms: int | None  # Unix ms after which it no longer verifies; None: it is current


class Project(NamedTuple):
    """A project as operators see it."""

    id: str
    name: str
    status: str  # "active" or "disabled"
    created_ms: int
    updated_ms: int  # higher after each change, whatever the clock says
    owner_id: str | None = None  # a user's; None: only admins see it
    description: str = ""
    visibility: str = "private"


class SealedSecret(NamedTuple):
    """One signing secret, sealed with the master key (store/sealing.py)."""

    sealed: bytes
    expires_ms: int | None
    last_used_ms: int | None = None  # noted only once it expires: see ProjectStore.used


class ProjectKeys(NamedTuple):
    """What the keyring needs of a project: whether it takes events, its secrets, its owner."""

    status: str
    secrets: tuple[SealedSecret, ...]  # the current one, and the one before it in its grace
    owner_id: str | None = None
    version: int = 0  # of two, the later one's is higher


class EventFilter(NamedTuple):
    """Which events a page shows. Times are Unix ms of reception, `after` and `before` excluded."""

    project_id: str
    session_id: str | None = None
    event: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None


class Page(NamedTuple):
    """Events newest first, and the cursor that continues after them; None at the end."""

    rows: list[Row]
    cursor: str | None


def cursor_after(row: Row) -> str:
    """The cursor of the page that continues after `row`: received_ms "-" event_id."""
    return f"{row.received_ms}-{row.event_id}"


def parse_cursor(cursor: str) -> tuple[int, str]:
    """(received_ms, event_id) of a cursor. Raises ValueError if no page can have given it."""
    received_ms, dash, event_id = cursor.partition("-")
    number = received_ms.isascii() and received_ms.isdigit() and len(received_ms) < 16
    if not (dash and number and IDENTIFIER(event_id)):
        raise ValueError("the cursor is not one that a page has given")
    return int(received_ms), event_id


class EventStore(Protocol):
    """Stored events; one row per (project_id, event_id), the first one written stays."""

    async def write(self, rows: list[Row]) -> int:
        """Store the whole batch or none of it, and return how many rows are new.

        Written twice is stored once. What is new is added to the project's count of stored events
        in the same transaction (LedgerStore.stored). Raises Refused if a row can never be stored,
        without saying which; Unavailable if the store cannot be reached. Does not retry:
        worker/drain.py does.
        """

    async def page(self, wanted: EventFilter, *, limit: int, cursor: str | None = None) -> Page:
        """At most `limit` events, newest first; rows written meanwhile may be missed.

        Raises ValueError for a cursor that no page has given.
        """

    async def get(self, project_id: str, event_id: str) -> Row | None:
        """One event; None if it is not stored."""

    async def delete(self, project_id: str, *, limit: int) -> int:
        """Delete at most `limit` of a project's events; returns how many there were.

        What was ever stored as new (LedgerStore.stored) stays as it is.
        """


class LedgerStore(Protocol):
    """The store's side of the ledger: what it has stored, and a copy of what the queue counts."""

    async def stored(self, project_ids: Collection[str]) -> dict[str, int]:
        """Rows that were ever stored as new, of those of these projects that have any."""

    async def queue_id(self, partition: int) -> str | None:
        """The id of the partition's ledger as last remembered; None if there was none."""

    async def copy(self, partition: int) -> dict[str, Totals]:
        """The counts as last remembered, by project; ENTRIES among them."""

    async def remember(self, partition: int, queue_id: str, totals: Mapping[str, Totals]) -> None:
        """Keep the id and these projects' counts for a queue that forgets them.

        No count is lowered, since several workers may remember in any order; but for that of dead
        letters, which replays and purges lower: the last one stays. Raises Unavailable.
        """


class ProjectStore(Protocol):
    """Projects and their secrets. Changes are durable when a call returns, but not yet pushed to
    the gateways' caches: gateway/key_cache.py does that."""

    async def create(self, project: Project, secret: SealedSecret) -> None:
        """Add a project with its first secret.

        Raises Conflict if its id is taken, or its owner has one of this name; nobody is an owner,
        too.
        """

    async def get(self, project_id: str) -> Project | None:
        """The project with this id."""

    async def find(self, name_or_id: str) -> Project | None:
        """The project with this id, or else with this name.

        Raises Conflict if several owners have one of this name.
        """

    async def list(self, owner_id: str | None = None, *, name: str | None = None) -> list[Project]:
        """All projects, or those of one owner, or of one name, oldest first."""

    async def update(self, project_id: str, changes: Mapping[str, str], *, now_ms: int) -> None:
        """Set columns of a project; nothing happens to an unknown one.

        changes: of name, description, visibility, status. Raises Conflict as `create` does.
        """

    async def delete(self, project_id: str) -> None:
        """Forget a project and its secrets; nothing happens if there is none. Its events stay."""

    async def any(self) -> Project | None:
        """One of them, for a look at its secrets; None if there is none."""

    async def keys(self, project_id: str) -> ProjectKeys | None:
        """What the keyring needs, expired secrets included; None for an unknown id."""

    async def rotate(
        self,
        project_id: str,
        secret: SealedSecret,
        *,
        now_ms: int,
        old_expires_ms: int,
        old_last_used_ms: int | None = None,
    ) -> None:
        """Make `secret` current; the one that was current verifies until `old_expires_ms`, unless
        that has passed by `now_ms`; all older ones end now. So there are never more than two.

        old_last_used_ms: when the one that was current was last used, as far as is known.
        """

    async def used(
        self, times: Mapping[tuple[str, bytes], int], *, apart_ms: int
    ) -> dict[tuple[str, bytes], int]:
        """Note when secrets were last used: Unix ms by project and sealed form.

        As core.users.ApiKeyStore.used: what is gone is passed over, and so is a time that is less
        than `apart_ms` after the one that is kept; returns what is kept now.
        """


class Conflict(Exception):
    """What was to be created exists already."""


class Receipt(Protocol):
    """Told once what has become of an append. It must not raise."""

    def accepted(self, durability: str) -> None:
        """The entry is in the queue, and has reached this durability."""

    def refused(self, error: Unavailable) -> None:
        """It is not, unless the connection broke with the append under way: then it may be."""


class Bundle(Receipt, Protocol):
    """Entries of one partition, ready to be sent; as a Receipt it stands for all of theirs."""

    @property
    def partition(self) -> int:
        """Of all of them."""

    @property
    def entries(self) -> int:
        """How many there are."""

    @property
    def wire(self) -> bytes | bytearray:
        """The entries' headers and bodies, each an argument in RESP."""

    @property
    def events(self) -> dict[Standing, int]:
        """How many events there are in them, by their project's standing; whoever takes the
        bundle may change it."""

    def each(self) -> Iterator[tuple[Entry, Receipt]]:
        """The entries one by one, for whoever cannot take them together."""


class EventQueue(Protocol):
    """Where accepted requests wait for the worker."""

    def put(self, entry: Entry, receipt: Receipt) -> None:
        """As `append`, without waiting: `receipt` is told, unless this raises at once."""

    def put_all(self, bundle: Bundle) -> None:
        """The same for the entries of a bundle, of which each is told by itself."""

    async def append(self, entry: Entry) -> str:
        """Append one entry and return the durability it has reached.

        Raises Unavailable. Then nothing was appended, unless the connection broke with the append
        under way: then it may have been. Appending it again is harmless, since events have
        identities. Does not retry, and holds no more bytes than its bound.
        """
