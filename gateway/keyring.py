"""Who may sign: the opened keys of projects, in memory, so that admission never waits for a
network.

Requirements  A known project costs a dictionary lookup; an unknown one costs the same and tells
              nothing; a change made anywhere counts here at once.
Solution      Memory, then Redis, then the store; one lookup at a time per project; what does not
              exist is remembered too, apart, so that made-up ids cannot push out real ones; a
              pushed invalidation empties the entry; unknown projects are verified against a decoy.
Cost          The first request of a project, and one each time its entry expires, waits for the
              lookup. While the store is away, keys that have expired are used on.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator

from redis.asyncio import Redis

from core.auth import keyed
from core.errors import AuthFailure, Reason, Unavailable
from core.kernels import Key
from core.metrics import Meter, Metric
from core.ports import ProjectKeys, ProjectStore
from gateway.channel import News
from gateway.key_cache import CHANNEL, UNKNOWN_TTL_S, KeyCache
from gateway.standings import Standings
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS
from store.sealing import Sealer, SealError

log = get_log()
LOOKUPS_MAX = 256  # at once; over this, cold projects are asked to retry
UNKNOWN_MAX = 10_000
ACTIVE = "active"
STALE_S = 5  # for expired keys to be used on, before a store that is away is asked again


class Credentials:
    """A project's opened keys; `status` is None for a project that does not exist."""

    __slots__ = ("_keys", "_secrets", "failure", "names", "owner_id", "rotating", "status")

    def __init__(
        self,
        status: str | None,
        secrets: tuple[tuple[Key, int | None], ...],
        names: tuple[bytes, ...] = (),
        owner_id: str | None = None,
    ) -> None:
        """secrets: key, expires_ms; newest first. names: their sealed forms, in that order."""
        self.status = status
        self.failure = AuthFailure.UNKNOWN_PROJECT if status is None else AuthFailure.BAD_SIGNATURE
        self.names = names
        self.owner_id = owner_id
        self._secrets = secrets
        self._keys = [key for key, expires_ms in secrets if expires_ms is None]
        self.rotating = len(self._keys) < len(secrets)  # there is more than one secret

    def live(self, now_ms: float) -> list[Key]:
        """The keys that verify now; at least one."""
        if not self.rotating:
            return self._keys
        live = [
            key for key, expires_ms in self._secrets if expires_ms is None or expires_ms > now_ms
        ]
        self.rotating = len(live) > len(self._keys)  # once the grace is over, no more is asked
        return live

    def named(self) -> Iterator[tuple[bytes, Key]]:
        """Each secret's sealed form and key, expired ones included."""
        return zip(self.names, (key for key, _ in self._secrets), strict=True)


class _Shelf(dict[str, tuple[Credentials, float]]):
    """Credentials with the monotonic time they expire at; the oldest leave when it is full."""

    def __init__(
        self,
        entries_max: int,
        found: dict[str, tuple[Credentials, float]],
        dropped: Callable[[str], None],
    ) -> None:
        """found: what all shelves hold. dropped: told of each project that leaves it."""
        self._entries_max = entries_max
        self._found = found
        self._dropped = dropped

    def put(self, project_id: str, credentials: Credentials, expires_s: float) -> None:
        self.drop(project_id)
        while len(self) >= self._entries_max:
            self.drop(next(iter(self)))
        if project_id in self._found:  # on another shelf
            self._dropped(project_id)
        self[project_id] = self._found[project_id] = credentials, expires_s

    def drop(self, project_id: str) -> None:
        entry = self.pop(project_id, None)
        if entry is not None and self._found.get(project_id) is entry:
            del self._found[project_id]
            self._dropped(project_id)


class Keyring:
    """The process's cache of credentials. standings: told of what is over here."""

    def __init__(
        self,
        *,
        cache: KeyCache,
        projects: ProjectStore,
        sealer: Sealer,
        ttl_s: int,
        entries_max: int,
        meter: Meter,
        standings: Standings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._standings = standings = standings or Standings(1)
        self._cache = cache
        self._projects = projects
        self._sealer = sealer
        self._ttl_s = ttl_s
        self._meter = meter
        self._clock = clock
        self._found: dict[str, tuple[Credentials, float]] = {}
        self._known = _Shelf(entries_max, self._found, standings.forget)
        self._unknown = _Shelf(UNKNOWN_MAX, self._found, standings.forget)
        self._lookups: dict[str, asyncio.Task[Credentials]] = {}
        self._invalidations = 0
        self._decoy = Credentials(None, ((keyed(os.urandom(32).hex()), None),))

    def cached(self, project_id: str) -> Credentials | None:
        """The credentials if memory has them; None means: ask `load`."""
        found = self._found.get(project_id)  # in one step: whether it is known does not show
        if found is None or found[1] <= self._clock():
            return None
        return found[0]

    def single_key(self, project_id: str) -> tuple[Key, float] | None:
        """The key of an active project that has one alone, and the monotonic time that it expires
        at; None for any other, and where `cached` has none."""
        credentials, expires_s = self._found.get(project_id, (self._decoy, 0.0))
        if credentials.status != ACTIVE or credentials.rotating or expires_s <= self._clock():
            return None
        return credentials.live(0)[0], expires_s

    async def load(self, project_id: str) -> Credentials:
        """The credentials from Redis or the store. Raises Unavailable if neither can say."""
        lookup = self._lookups.get(project_id)
        if lookup is None:
            if len(self._lookups) >= LOOKUPS_MAX:
                raise Unavailable(Reason.OVERLOADED)
            lookup = asyncio.create_task(self._look_up(project_id))
            self._lookups[project_id] = lookup
            lookup.add_done_callback(lambda done: self._finish(project_id, done))
        return await asyncio.shield(lookup)

    def forget(self, project_id: str) -> None:
        """Drop what is cached of a project; a lookup under way will not be cached."""
        self._invalidations += 1
        self._lookups.pop(project_id, None)  # who comes now must not be told what it found before
        self._known.drop(project_id)
        self._unknown.drop(project_id)

    def forget_all(self) -> None:
        """Drop everything: changes may have been missed."""
        self._invalidations += 1
        self._lookups.clear()
        self._known.clear()
        self._unknown.clear()
        self._found.clear()
        self._standings.forget_all()

    async def follow(self, queue: Redis) -> None:
        """Listen for changes until cancelled; reconnects, and then trusts nothing it had."""
        await News(queue, CHANNEL, heard=self.forget, missed=self.forget_all).follow()

    def _finish(self, project_id: str, lookup: asyncio.Task[Credentials]) -> None:
        if self._lookups.get(project_id) is lookup:
            del self._lookups[project_id]
        if not lookup.cancelled():
            lookup.exception()  # each waiter has been told; none may be left

    async def _look_up(self, project_id: str) -> Credentials:
        invalidations, known = self._invalidations, self._known.get(project_id)
        try:
            keys = await self._fetch(project_id)
        except Unavailable:
            if known is None or invalidations != self._invalidations:
                raise
            # Nobody can have changed them meanwhile: that takes the store, and would be pushed.
            self._meter.add(Metric.KEYRING_LOOKUPS, 1, "stale")
            self._known.put(project_id, known[0], self._clock() + STALE_S)
            return known[0]
        credentials = self._open(project_id, keys) if keys else self._decoy
        if invalidations == self._invalidations:
            shelf, ttl_s = (self._known, self._ttl_s) if keys else (self._unknown, UNKNOWN_TTL_S)
            shelf.put(project_id, credentials, self._clock() + ttl_s)
        return credentials

    async def _fetch(self, project_id: str) -> ProjectKeys | None:
        try:
            found, keys = await self._cache.get(project_id)
        except QUEUE_ERRORS:
            self._meter.add(Metric.KEYRING_LOOKUPS, 1, "store")
            return await self._projects.keys(project_id)
        if found:
            self._meter.add(Metric.KEYRING_LOOKUPS, 1, "redis")
            return keys
        self._meter.add(Metric.KEYRING_LOOKUPS, 1, "store")
        keys = await self._projects.keys(project_id)
        try:
            return await self._cache.add(project_id, keys)
        except QUEUE_ERRORS:
            return keys

    def _open(self, project_id: str, keys: ProjectKeys) -> Credentials:
        try:
            opened = tuple(
                (keyed(self._sealer.open(secret.sealed, project_id=project_id)), secret.expires_ms)
                for secret in keys.secrets
            )
        except SealError as error:
            log.error("secret does not open", project=project_id, check="CONTOX_MASTER_KEY")  # noqa: TRY400
            raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error
        names = tuple(secret.sealed for secret in keys.secrets)
        return Credentials(keys.status, opened, names, keys.owner_id)
