"""Fakes for our own ports, held to the same contract suites as the real adapters."""

from collections import Counter
from collections.abc import Collection, Mapping

from core.codec import Entry
from core.errors import Unavailable
from core.event import Row
from core.ledger import Totals
from core.ports import (
    Bundle,
    Conflict,
    EventFilter,
    Page,
    Project,
    ProjectKeys,
    Receipt,
    SealedSecret,
    cursor_after,
    parse_cursor,
)
from core.users import ApiKey, User


class MemoryEvents:
    """An EventStore in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.counts: Counter[str] = Counter()

    async def write(self, rows: list[Row]) -> int:
        """See core.ports.EventStore."""
        new = {(row.project_id, row.event_id): row for row in reversed(rows)}
        new = {key: row for key, row in new.items() if key not in self.rows}
        self.rows |= dict(reversed(new.items()))
        self.counts.update(project_id for project_id, _ in new)
        return len(new)

    async def page(self, wanted: EventFilter, *, limit: int, cursor: str | None = None) -> Page:
        """See core.ports.EventStore."""
        ordered = sorted(self.rows.values(), key=_position, reverse=True)
        rows = [row for row in ordered if _matches(row, wanted)]
        if cursor is not None:
            after = parse_cursor(cursor)
            rows = [row for row in rows if _position(row) < after]
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(rows[:limit], cursor_after(last) if last else None)

    async def get(self, project_id: str, event_id: str) -> Row | None:
        """See core.ports.EventStore."""
        return self.rows.get((project_id, event_id))

    async def delete(self, project_id: str, *, limit: int) -> int:
        """See core.ports.EventStore."""
        found = [key for key in self.rows if key[0] == project_id][:limit]
        for key in found:
            del self.rows[key]
        return len(found)


def _position(row: Row) -> tuple[int, str]:
    return row.received_ms, row.event_id


def _matches(row: Row, wanted: EventFilter) -> bool:
    return (
        row.project_id == wanted.project_id
        and wanted.session_id in (None, row.session_id)
        and wanted.event in (None, row.event)
        and (wanted.after_ms is None or row.received_ms > wanted.after_ms)
        and (wanted.before_ms is None or row.received_ms < wanted.before_ms)
    )


class MemoryLedger:
    """A LedgerStore in dictionaries, beside a store of events."""

    def __init__(self, events: MemoryEvents) -> None:
        self._events = events
        self.ids: dict[int, str] = {}
        self.copies: dict[int, dict[str, Totals]] = {}

    async def stored(self, project_ids: Collection[str]) -> dict[str, int]:
        """See core.ports.LedgerStore."""
        counts = self._events.counts
        return {project: counts[project] for project in project_ids if counts[project]}

    async def queue_id(self, partition: int) -> str | None:
        """See core.ports.LedgerStore."""
        return self.ids.get(partition)

    async def copy(self, partition: int) -> dict[str, Totals]:
        """See core.ports.LedgerStore."""
        return dict(self.copies.get(partition, {}))

    async def remember(self, partition: int, queue_id: str, totals: Mapping[str, Totals]) -> None:
        """See core.ports.LedgerStore."""
        self.ids[partition] = queue_id
        copy = self.copies.setdefault(partition, {})
        for project, counts in totals.items():
            highest = Totals(*map(max, counts, copy.get(project, Totals())))
            copy[project] = highest._replace(dead=counts.dead)


class MemoryProjects:
    """A ProjectStore in dictionaries."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.secrets: dict[str, list[SealedSecret]] = {}

    async def create(self, project: Project, secret: SealedSecret) -> None:
        """See core.ports.ProjectStore."""
        if project.id in self.projects:
            raise Conflict(project.id)
        self._put(project)
        self.secrets[project.id] = [secret]

    async def get(self, project_id: str) -> Project | None:
        """See core.ports.ProjectStore."""
        return self.projects.get(project_id)

    async def find(self, name_or_id: str) -> Project | None:
        """See core.ports.ProjectStore."""
        named = [project for project in self.projects.values() if project.name == name_or_id]
        found = self.projects.get(name_or_id)
        if found is None and len(named) > 1:
            raise Conflict(name_or_id)
        return found or (named[0] if named else None)

    async def list(self, owner_id: str | None = None, *, name: str | None = None) -> list[Project]:
        """See core.ports.ProjectStore."""
        owned = [p for p in self.projects.values() if owner_id in (None, p.owner_id)]
        projects = [p for p in owned if name in (None, p.name)]
        return sorted(projects, key=lambda p: (p.created_ms, p.id))

    async def update(self, project_id: str, changes: Mapping[str, str], *, now_ms: int) -> None:
        """See core.ports.ProjectStore."""
        if project := self.projects.get(project_id):
            updated_ms = max(now_ms, project.updated_ms + 1)
            self._put(Project(**{**project._asdict(), **changes, "updated_ms": updated_ms}))

    def _put(self, project: Project) -> None:
        same = [p for p in self.projects.values() if p.name == project.name and p.id != project.id]
        if any(p.owner_id == project.owner_id for p in same):
            raise Conflict(project.name)
        self.projects[project.id] = project

    async def delete(self, project_id: str) -> None:
        """See core.ports.ProjectStore."""
        self.projects.pop(project_id, None)
        self.secrets.pop(project_id, None)

    async def any(self) -> Project | None:
        """See core.ports.ProjectStore."""
        return next(iter(self.projects.values()), None)

    async def keys(self, project_id: str) -> ProjectKeys | None:
        """See core.ports.ProjectStore."""
        project = self.projects.get(project_id)
        if project is None:
            return None
        secrets = tuple(self.secrets[project_id])
        return ProjectKeys(project.status, secrets, project.owner_id, project.updated_ms)

    async def rotate(
        self,
        project_id: str,
        secret: SealedSecret,
        *,
        now_ms: int,
        old_expires_ms: int,
        old_last_used_ms: int | None = None,
    ) -> None:
        """See core.ports.ProjectStore."""
        await self.update(project_id, {}, now_ms=now_ms)
        old = self.secrets[project_id][0]
        last_used_ms = old.last_used_ms if old_last_used_ms is None else old_last_used_ms
        ends = SealedSecret(old.sealed, old_expires_ms, last_used_ms)
        self.secrets[project_id] = [secret, ends] if old_expires_ms > now_ms else [secret]

    async def used(
        self, times: Mapping[tuple[str, bytes], int], *, apart_ms: int
    ) -> dict[tuple[str, bytes], int]:
        """See core.ports.ProjectStore."""
        kept = {}
        for project_id, secrets in self.secrets.items():
            for at, secret in enumerate(secrets):
                if (name := (project_id, secret.sealed)) in times:
                    kept[name] = _later(secret.last_used_ms, times[name], apart_ms)
                    secrets[at] = secret._replace(last_used_ms=kept[name])
        return kept


class MemoryUsers:
    """A UserStore in a dictionary."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}

    async def create(self, user: User) -> None:
        """See core.users.UserStore."""
        user = user._replace(email=user.email.lower())
        if any(user.id == other.id or user.email == other.email for other in self.users.values()):
            raise Conflict(user.email)
        self.users[user.id] = user

    async def find(self, email_or_id: str) -> User | None:
        """See core.users.UserStore."""
        by_email = {user.email: user for user in self.users.values()}
        return self.users.get(email_or_id) or by_email.get(email_or_id.lower())

    async def list(self) -> list[User]:
        """See core.users.UserStore."""
        return sorted(self.users.values(), key=lambda user: (user.created_ms, user.id))

    async def set_password(self, user_id: str, password_hash: str, *, now_ms: int) -> None:
        """See core.users.UserStore."""
        if user := self.users.get(user_id):
            at_ms = max(now_ms, user.updated_ms + 1)
            changed = user._replace(password_hash=password_hash, updated_ms=at_ms)
            self.users[user_id] = changed

    async def set_status(self, user_id: str, status: str, *, now_ms: int) -> None:
        """See core.users.UserStore."""
        if user := self.users.get(user_id):
            at_ms = max(now_ms, user.updated_ms + 1)
            self.users[user_id] = user._replace(status=status, updated_ms=at_ms)


class MemoryApiKeys:
    """An ApiKeyStore in a dictionary, beside the users."""

    def __init__(self, users: MemoryUsers) -> None:
        self._users = users
        self.keys: dict[str, ApiKey] = {}

    async def add(self, key: ApiKey) -> None:
        """See core.users.ApiKeyStore."""
        digests = {other.sha256 for other in self.keys.values()}
        if key.id in self.keys or key.sha256 in digests or key.user_id not in self._users.users:
            raise Conflict(key.id)
        self.keys[key.id] = key

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """See core.users.ApiKeyStore."""
        keys = [key for key in self.keys.values() if key.user_id == user_id]
        return sorted(keys, key=lambda key: (key.created_ms, key.id))

    async def by_digest(self, sha256: bytes) -> ApiKey | None:
        """See core.users.ApiKeyStore."""
        return {key.sha256: key for key in self.keys.values()}.get(sha256)

    async def delete(self, key_id: str) -> None:
        """See core.users.ApiKeyStore."""
        self.keys.pop(key_id, None)

    async def used(self, times: Mapping[str, int], *, apart_ms: int) -> dict[str, int]:
        """See core.users.ApiKeyStore."""
        kept = {}
        for key_id in times.keys() & self.keys.keys():
            key = self.keys[key_id]
            kept[key_id] = _later(key.last_used_ms, times[key_id], apart_ms)
            self.keys[key_id] = key._replace(last_used_ms=kept[key_id])
        return kept


def _later(last_ms: int | None, at_ms: int, apart_ms: int) -> int:
    return at_ms if last_ms is None or at_ms >= last_ms + apart_ms else last_ms


class MemoryQueue:
    """An EventQueue in a list. While `failing` is set, it raises that instead."""

    def __init__(self, durability: str = "memory") -> None:
        self.entries: list[Entry] = []
        self.durability = durability
        self.failing: Unavailable | None = None

    def put(self, entry: Entry, receipt: Receipt) -> None:
        """See core.ports.EventQueue."""
        if self.failing:
            receipt.refused(self.failing)
        else:
            self.entries.append(entry)
            receipt.accepted(self.durability)

    def put_all(self, bundle: Bundle) -> None:
        """See core.ports.EventQueue."""
        for entry, receipt in bundle.each():
            self.put(entry, receipt)

    async def append(self, entry: Entry) -> str:
        """See core.ports.EventQueue."""
        if self.failing:
            raise self.failing
        self.entries.append(entry)
        return self.durability
