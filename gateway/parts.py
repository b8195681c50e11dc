"""A gateway put together from its parts, and what they tell of how it is."""

from collections.abc import Coroutine
from typing import Any, NamedTuple

from aiohttp import web
from redis.asyncio import Redis

from core.metrics import Meter, Source
from core.settings import Settings
from gateway.admission import Admission
from gateway.api.last_used import LastUsed
from gateway.api.project_changes import ProjectChanges
from gateway.api.wiring import Api
from gateway.app import build_app
from gateway.backlog import Backlog
from gateway.connections import Connections
from gateway.endpoint import Endpoint
from gateway.envelopes import Envelopes
from gateway.fallback import SpooledQueue
from gateway.key_cache import KeyCache
from gateway.keyring import Keyring
from gateway.publisher import Publisher
from gateway.quotas import Quotas
from gateway.secret_uses import SecretName, SecretUses
from gateway.session_records import SessionRecords
from gateway.sessions import Sessions
from gateway.spool import Spool
from gateway.spool_drain import SpoolDrain
from gateway.standings import Standings
from gateway.usual import Usual
from store.accounts import SqlProjects
from store.events import SqlEvents
from store.ledger import SqlLedger
from store.sealing import Sealer
from store.sessions import SqlSessions
from store.users import SqlApiKeys, SqlUsers


class Outside(NamedTuple):
    """What a gateway needs of the world, opened."""

    queue: Redis
    projects: SqlProjects
    ledger: SqlLedger
    users: SqlUsers
    keys: SqlApiKeys
    events: SqlEvents
    sessions: SqlSessions
    sealer: Sealer
    spool: Spool | None
    figures: Source  # for the metrics page


class Gateway:
    """The parts of one gateway. Their `tasks` must run for it to accept."""

    def __init__(self, settings: Settings, outside: Outside, meter: Meter) -> None:
        queue, spool = outside.queue, outside.spool
        self._settings, self._outside = settings, outside
        self.port = 0  # 0: no TCP
        standings = Standings(settings.partitions)
        self.publisher = Publisher(queue, settings, meter, standings)
        self.spooled = SpooledQueue(self.publisher, spool) if spool else None
        self.backlog = Backlog(queue, settings, meter)
        self._quotas = Quotas(queue, settings)
        key_cache = KeyCache(queue, ttl_s=settings.keyring_ttl_s)
        self._keyring = Keyring(
            cache=key_cache,
            projects=outside.projects,
            sealer=outside.sealer,
            ttl_s=settings.keyring_ttl_s,
            entries_max=settings.keyring_entries_max,
            meter=meter,
            standings=standings,
        )
        self._session_records = SessionRecords(outside.sessions)
        self._sessions = Sessions(
            queue,
            entries_max=settings.keyring_entries_max,
            standings=standings,
            away=self._spools if spool else None,
            opened=self._session_records.note,
        )
        self._secrets_used: LastUsed[SecretName] = LastUsed(outside.projects)
        secret_uses = SecretUses(self._secrets_used)
        self.admission = Admission(
            settings,
            keyring=self._keyring,
            sessions=self._sessions,
            queue=self.spooled or self.publisher,
            backlog=self.backlog,
            quotas=self._quotas,
            standings=standings,
            spools=self._spools,
            note_use=secret_uses.note,
        )
        self.connections = Connections(settings, meter)
        self.api = self._api(key_cache, meter)
        self.envelopes = self._envelopes(secret_uses)
        self.endpoint = Endpoint(
            settings, admission=self.admission, meter=meter, envelopes=self.envelopes
        )

        self.usual = self._usual(standings)
        self.connections.ready.usual = self.usual.take

    def _usual(self, standings: Standings) -> Usual:
        return Usual(
            self._settings,
            standings=standings,
            queue=self.spooled or self.publisher,
            backlog=self.backlog,
            quotas=self._quotas,
            told=self.endpoint.accepted_ones,
        )

    def _api(self, key_cache: KeyCache, meter: Meter) -> Api:
        outside = self._outside
        return Api(
            self._settings,
            queue=outside.queue,
            changes=ProjectChanges(outside.projects, outside.sealer, key_cache),
            events=outside.events,
            sessions=outside.sessions,
            open_sessions=self._sessions,
            ledger=outside.ledger,
            users=outside.users,
            keys=outside.keys,
            meter=meter,
            spooled=outside.spool.events_of if outside.spool else None,
        )

    def _envelopes(self, secret_uses: SecretUses) -> Envelopes:
        return Envelopes(
            self._settings,
            identity=self.api.identity,
            keyring=self._keyring,
            sessions=self._sessions,
            note_use=secret_uses.note_made_by,
            backlog=self.backlog,
            quotas=self._quotas,
            spools=self._spools,
            refused=self.api.refused,
        )

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What must run beside the requests, until cancelled."""
        tasks = [
            self._keyring.follow(self._outside.queue),
            self._sessions.follow(),
            self._session_records.run(),
            self._secrets_used.run(),
            self.publisher.run(),
            self.backlog.run(),
            self._quotas.run(),
            self.connections.run(),
            *self.api.tasks(),
        ]
        if self._outside.spool:
            drain = SpoolDrain(
                self._outside.spool,
                self.publisher,
                self._settings,
                may_drain=lambda: not self.backlog.full,
            )
            tasks.append(drain.run())
        return tasks

    def app(self) -> web.Application:
        """The application that serves it."""
        return build_app(
            self.endpoint,
            source=self._outside.figures,
            missing=self.missing,
            degraded=self.degraded,
            resources=self.api.routes(),
            around=[self.api.middleware],
        )

    def _spools(self) -> bool:
        """Whether what is accepted goes to the spool now."""
        return self.spooled is not None and bool(self.publisher.away)

    def missing(self) -> list[str]:
        """What keeps it from accepting durably now, as sentences."""
        if self.spooled:
            reasons = self.spooled.missing()
        else:
            reasons = [why for why in (self.publisher.away, self.publisher.full) if why]
        if self.backlog.full and not self._spools():
            reasons.append(self.backlog.full)
        if self.connections.leaving:
            reasons.append("The gateway is shutting down")
        return reasons

    def degraded(self) -> list[str]:
        """What is not as it should be, though it accepts, as sentences."""
        return self.spooled.degraded() if self.spooled else []
