"""The path of one request: who, signed, within quota, valid, which session, durable; then its
answer.

Knows no web framework: a transport gives raw headers and the body's bytes, and writes what comes
back. The order of checks is the contract's: nothing that is not authenticated is decompressed or
parsed.
"""

import time
from collections.abc import Callable, Iterable

import msgspec

from core.auth import parse_timestamp, verify
from core.body import Batch, Form, Refusal, parse
from core.codec import Entry, id_of
from core.compression import parse_encoding
from core.errors import AuthFailure, Reason, Rejected, Unavailable, unauthorized
from core.head import Head, read_head
from core.ports import EventQueue
from core.settings import Settings
from gateway.backlog import Backlog
from gateway.key_cache import PROJECT_ID
from gateway.keyring import Credentials, Keyring
from gateway.quotas import Quota, Quotas
from gateway.sessions import Sessions


class Accepted(msgspec.Struct, frozen=True):
    """What a 202 tells: in the queue, at this durability."""

    form: Form
    event_ids: list[str]
    refused: list[Refusal]
    session_id: str
    durability: str


class Admission:
    """Admits requests."""

    def __init__(
        self,
        settings: Settings,
        *,
        keyring: Keyring,
        sessions: Sessions,
        queue: EventQueue,
        backlog: Backlog,
        quotas: Quotas,
        spools: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._queue = queue
        self._backlog = backlog
        self._quotas = quotas
        self._spools = spools  # whether events go to a spool now: then the backlog is no bound
        self._clock = clock
        self._window_s = settings.window_s
        self._body_bytes_max = settings.body_bytes_max
        self._limits = settings.limits()

    async def admit(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Accepted:
        """Take a request's events into the queue.

        headers: as received. body: the bytes on the wire.
        Raises Rejected or Unavailable, and then nothing of it was taken; an Unavailable with
        queue_unavailable may have been, if the connection broke with the append under way.
        """
        if len(body) > self._body_bytes_max:
            raise Rejected(Reason.TOO_LARGE, f"The body is over {self._body_bytes_max:,} bytes")
        now_ms = int(self._clock() * 1000)
        head = read_head(headers)
        project, timestamp_s, mac = await self._authenticate(head, body, now_ms)
        quota = self._check_room(project, len(body))
        batch = parse(
            body,
            content_type=head.content_type,
            encoding=parse_encoding(head.content_encoding),
            limits=self._limits,
        )
        if quota:
            quota.pay("events", batch.count - 1)  # one is paid
        session = self._sessions.cached(project, now_ms)
        if session is None:
            session = await self._sessions.join(project, now_ms)
        entry = Entry(
            project=project,
            session=session,
            received_ms=now_ms,
            form=batch.form,
            encoding=batch.encoding,
            count=batch.count,
            timestamp_s=timestamp_s,
            mac=mac,
            body=batch.body,
        )
        event_ids = _ids(batch, entry)
        durability = await self._append(entry)
        return Accepted(batch.form, event_ids, batch.refused, session, durability)

    async def _authenticate(self, head: Head, body: bytes, now_ms: int) -> tuple[str, int, bytes]:
        """(project id, signed timestamp, MAC). Raises Rejected: unauthorized, forbidden."""
        if head.project is None or head.timestamp is None or head.signature is None:
            raise unauthorized(AuthFailure.MISSING_HEADER)
        timestamp_s = parse_timestamp(head.timestamp, now_s=now_ms // 1000, window_s=self._window_s)
        if not PROJECT_ID(head.project):
            raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
        project = head.project.decode()
        credentials = self._keyring.cached(project)
        if credentials is None:
            credentials = await self._keyring.load(project)
        mac = _verify(credentials, head.timestamp, body, head.signature, now_ms)
        if credentials.status != "active":
            raise Rejected(Reason.FORBIDDEN)
        return project, timestamp_s, mac

    def _check_room(self, project: str, body_bytes: int) -> Quota | None:
        """The quota that the request's events are paid from; raises if it may not go on."""
        if self._backlog.full and not self._spools():
            raise Unavailable(Reason.BACKLOG_FULL, retry_after_s=self._backlog.retry_after_s())
        return self._quotas.check(project, body_bytes)

    async def _append(self, entry: Entry) -> str:
        """The durability reached; what the queue has no memory for is told when to come back."""
        try:
            return await self._queue.append(entry)
        except Unavailable as error:
            if error.reason is Reason.BACKLOG_FULL:
                error.retry_after_s = self._backlog.retry_after_s()
            raise


def _verify(
    credentials: Credentials, timestamp: bytes, body: bytes, signature: bytes, now_ms: int
) -> bytes:
    """The MAC; an unknown project costs the same, against a decoy, and is never let through."""
    keys = credentials.live(now_ms)
    try:
        mac = verify(keys, timestamp=timestamp, body=body, signature=signature)
    except Rejected:
        if credentials.status is None:
            raise unauthorized(AuthFailure.UNKNOWN_PROJECT) from None
        raise
    if credentials.status is None:  # the decoy was guessed, which 256 bits rule out: fail closed
        raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
    return mac


def _ids(batch: Batch, entry: Entry) -> list[str]:
    """The ids of the events taken, as the worker will derive them."""
    return [
        id_of(event, index, project=entry.project, timestamp_s=entry.timestamp_s, mac=entry.mac)
        for index, event in enumerate(batch.events)
        if event
    ]
