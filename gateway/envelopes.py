"""Admits signed envelopes: the key's user, then the signature in the body, then whether that user
may write there.

The order is that of any request (gateway/admission.py), as far as it can be: project and signature
are in the body, so that the key alone stands before decoding. Quotas, which are the project's, come
after it; so whatever is refused after decoding counts for the key's user, and who has had too much
refused within a minute gets 429 before it. The key is asked of Redis each time
(gateway/api/account_cache.py), so nothing is spooled while that is away.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from core.compression import parse_encoding
from core.envelope import (
    Envelope,
    Signed,
    claim,
    entry_of,
    is_signed_by,
    read_envelope,
    type_of,
    verify_envelope,
)
from core.errors import AuthFailure, Reason, Rejected, Unavailable, unauthorized
from core.head import Head
from core.settings import Settings
from gateway.admission import Admitted
from gateway.api.caller import Caller
from gateway.api.identity import Identity
from gateway.api.rate import RateLimit, limited
from gateway.backlog import Backlog
from gateway.keyring import Credentials, Keyring
from gateway.quotas import Quotas
from gateway.secret_uses import NoteMadeBy
from gateway.sessions import Sessions
from runtime.queue import QUEUE_ERRORS

FOREIGN = "This key's user may not write to the project"


class Envelopes:
    """Admits requests that come with an API key."""

    def __init__(
        self,
        settings: Settings,
        *,
        identity: Identity,
        keyring: Keyring,
        sessions: Sessions,
        backlog: Backlog,
        quotas: Quotas,
        spools: Callable[[], bool],
        note_use: NoteMadeBy,
        refused: RateLimit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._keyring = keyring
        self._sessions = sessions
        self._backlog = backlog
        self._quotas = quotas
        self._spools = spools
        self._note_use = note_use
        self._refused = refused
        self._clock = clock
        self._window_s = settings.window_s
        self._limits = settings.limits()

    async def check(self, bearer: Sequence[str], head: Head, body: bytes) -> Admitted:
        """What is to be appended. Raises Rejected or Unavailable, and nothing is to be.

        bearer: the Authorization headers. body: the bytes on the wire, of a size that is checked.
        """
        caller = await self._caller(bearer)
        if caller.user_id is None:
            raise Rejected(Reason.FORBIDDEN, FOREIGN)
        if wait_s := self._refused.over_s(caller.user_id):
            raise limited(wait_s)
        try:
            return await self._check(caller, head, body)
        except Rejected:
            with suppress(*QUEUE_ERRORS):
                await self._refused.hit(caller.user_id)
            raise

    async def _check(self, caller: Caller, head: Head, body: bytes) -> Admitted:
        now_ms = int(self._clock() * 1000)
        envelope = self._read(head, body)
        signed = claim(envelope, now_ms=now_ms, window_s=self._window_s)
        credentials = self._keyring.cached(signed.project)
        if credentials is None:
            credentials = await self._keyring.load(signed.project)
        mac = _verify(credentials, signed, now_ms)
        if credentials.rotating:
            self._note_use(signed.project, credentials, lambda key: is_signed_by(key, signed, mac))
        if not caller.may(credentials.owner_id):
            raise Rejected(Reason.FORBIDDEN, FOREIGN)
        self._pay(signed.project, credentials, len(body))
        name = type_of(envelope, self._limits)
        session = self._sessions.cached(signed.project, now_ms)
        if session is None:
            session = await self._sessions.join(signed.project, now_ms)
        entry, identity = entry_of(
            envelope, signed, name=name, mac=mac, session=session, now_ms=now_ms
        )
        return Admitted([identity], [], entry)

    async def _caller(self, bearer: Sequence[str]) -> Caller:
        if len(bearer) != 1:
            raise unauthorized(AuthFailure.DUPLICATE_HEADER)
        try:
            return await self._identity.of_bearer(bearer[0])
        except QUEUE_ERRORS as error:
            raise Unavailable(Reason.QUEUE_UNAVAILABLE) from error

    def _pay(self, project: str, credentials: Credentials, body_bytes: int) -> None:
        """Raises Rejected or Unavailable if the project may send nothing now."""
        if credentials.status != "active":
            raise Rejected(Reason.FORBIDDEN)
        if self._backlog.full and not self._spools():
            raise Unavailable(Reason.BACKLOG_FULL, retry_after_s=self._backlog.retry_after_s())
        self._quotas.check(project, body_bytes)

    def _read(self, head: Head, body: bytes) -> Envelope:
        encoding = parse_encoding(head.content_encoding)
        content_type, limits = head.content_type, self._limits
        return read_envelope(body, content_type=content_type, encoding=encoding, limits=limits)


def _verify(credentials: Credentials, signed: Signed, now_ms: int) -> bytes:
    """The MAC; an unknown project costs the same, against a decoy, and is never let through."""
    unknown = credentials.status is None
    failure = AuthFailure.UNKNOWN_PROJECT if unknown else AuthFailure.BAD_SIGNATURE
    try:
        mac = verify_envelope(credentials.live(now_ms), signed)
    except Rejected:
        raise unauthorized(failure) from None
    if unknown:
        raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
    return mac
