"""The API put together from its parts."""

from collections.abc import Coroutine
from functools import partial
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

from core.metrics import Meter
from core.ports import EventStore, LedgerStore
from core.sessions import SessionStore
from core.settings import Settings
from core.users import ApiKeyStore, UserStore
from gateway.api.account_cache import AccountCache
from gateway.api.addresses import Proxies
from gateway.api.auth import TRIES_WINDOW_S, Auth, Tries
from gateway.api.dead_letters import DeadLetters
from gateway.api.deletions import Deletions
from gateway.api.edge import WINDOW_S, Edge
from gateway.api.events import Events
from gateway.api.guard import Guard
from gateway.api.identity import Identity
from gateway.api.keys import Keys
from gateway.api.last_used import LastUsed
from gateway.api.ledgers import Ledgers, Spooled
from gateway.api.openapi import OpenApi
from gateway.api.origins import Origins
from gateway.api.project_changes import ProjectChanges
from gateway.api.project_secrets import ProjectSecrets
from gateway.api.projects import Projects
from gateway.api.rate import RateLimit
from gateway.api.sessions import Sessions
from gateway.api.sign_ins import SignIns
from gateway.sessions import Sessions as OpenSessions
from runtime.ledger import in_flight


class Api:
    """The API of one gateway. Its `tasks` must run.

    identity: who asks. refused: the bound on envelopes that are refused, per client and per user.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        queue: Redis,
        changes: ProjectChanges,
        events: EventStore,
        sessions: SessionStore,
        open_sessions: OpenSessions,
        ledger: LedgerStore,
        users: UserStore,
        keys: ApiKeyStore,
        meter: Meter,
        spooled: Spooled | None = None,
    ) -> None:
        accounts, sign_ins = AccountCache(queue, users, keys), SignIns(queue, settings)
        origins = Origins(settings.public_origins, settings.cors_origins)
        proxies = Proxies(settings.trusted_proxies)
        self._last_used = LastUsed(keys)
        self.identity = Identity(
            accounts, sign_ins, operator_token=settings.operator_token, used=self._last_used.note
        )
        self.guard = Guard(self.identity, origins, meter, body_timeout_s=settings.body_timeout_s)
        tries = Tries(
            per_address=_tries(queue, "sign-in-address", settings.sign_in_address_tries),
            per_account=_tries(queue, "sign-in-account", settings.sign_in_account_tries),
        )
        partitions, projects = settings.partitions, changes.projects
        ledgers = Ledgers(
            queue, partitions=partitions, projects=projects, ledger=ledger, spooled=spooled
        )
        in_queue = partial(in_flight, queue, partitions=partitions)
        self._deletions = Deletions(changes, events, sessions, in_queue)
        self._resources = (
            Auth(settings, users=users, sign_ins=sign_ins, tries=tries, proxies=proxies),
            Keys(keys, accounts),
            Projects(changes, self._deletions),
            ProjectSecrets(changes, events, grace_s=settings.secret_grace_s),
            ledgers,
            Sessions(sessions, projects, open_sessions),
            Events(events, projects, queue, partitions=partitions),
            DeadLetters(queue, partitions=partitions),
            OpenApi(),
        )
        requests, self.refused = (
            RateLimit(queue, name, amount=settings.api_requests_minute, window_s=WINDOW_S)
            for name in ("api", "refused")
        )
        self.middleware = Edge(requests, self.refused, proxies, origins, meter).middleware()

    def routes(self) -> list[web.RouteDef]:
        """The routes of all resources."""
        return [route for resource in self._resources for route in resource.routes(self.guard)]

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """What must run beside the requests, until cancelled."""
        return [self._last_used.run(), self._deletions.run()]


def _tries(queue: Redis, name: str, amount: int) -> RateLimit:
    return RateLimit(queue, name, amount=amount, window_s=TRIES_WINDOW_S)
