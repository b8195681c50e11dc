"""The path of one request: who, signed, within quota, valid, which session; then the queue.

Knows no web framework: a transport gives the headers that count and the body's bytes, and writes
what comes back. The order of checks is the contract's: nothing that is not authenticated is
decompressed or parsed.

`check_now` does it in one call from what memory holds, at the cost of no task and no future; where
keys or session must be looked up it says so, and `check` waits for them.
"""

import time
from collections.abc import Callable
from functools import lru_cache

import msgspec

from core.auth import parse_timestamp, verify
from core.body import Batch, Refusal, parse
from core.codec import Entry, ids_of
from core.compression import parse_encoding
from core.errors import AuthFailure, Reason, Rejected, Unavailable, unauthorized
from core.head import Head
from core.ports import EventQueue, Receipt
from core.settings import Settings
from gateway.backlog import Backlog
from gateway.key_cache import PROJECT_ID
from gateway.keyring import Credentials, Keyring
from gateway.quotas import Quotas
from gateway.secret_uses import Note, note_nothing
from gateway.sessions import Sessions
from gateway.standings import Standings

PROJECT_IDS_MAX = 100_000  # remembered as text


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """What has passed every check, and is to be appended."""

    event_ids: list[str]
    refused: list[Refusal]
    entry: Entry


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
        standings: Standings,
        spools: Callable[[], bool] = lambda: False,
        note_use: Note = note_nothing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._queue = queue
        self._backlog = backlog
        self._quotas = quotas
        self._standings = standings
        self._spools = spools  # whether events go to a spool now: then the backlog is no bound
        self._note_use = note_use
        self._clock = clock
        self._window_s = settings.window_s
        self._body_bytes_max = settings.body_bytes_max
        self._limits = settings.limits()

    def check_now(self, head: Head, body: bytes) -> Admitted | None:
        """What is to be appended; None if something must be waited for: then ask `check`.

        body: the bytes on the wire. Raises Rejected or Unavailable, and nothing is to be.
        """
        now_ms = int(self._clock() * 1000)
        project, timestamp_s = self._claim(head, body, now_ms)
        credentials = self._keyring.cached(project)
        if credentials is None:
            return None
        # Before the session is asked for, which an unknown project has none of: that would show.
        mac = _verify(credentials, head, body, now_ms)
        session = self._sessions.cached(project, now_ms)
        if session is None:
            return None
        self._learn(head, project)
        if credentials.rotating:
            self._note_use(project, credentials, head, body, mac)
        batch = self._parse(project, credentials, head, body)
        return _admitted(
            batch,
            project=project,
            session=session,
            now_ms=now_ms,
            timestamp_s=timestamp_s,
            mac=mac,
        )

    async def check(self, head: Head, body: bytes) -> Admitted:
        """The same, after waiting for the project's keys and session."""
        now_ms = int(self._clock() * 1000)
        project, timestamp_s = self._claim(head, body, now_ms)
        credentials = self._keyring.cached(project)
        if credentials is None:
            credentials = await self._keyring.load(project)
        mac = _verify(credentials, head, body, now_ms)
        if credentials.rotating:
            self._note_use(project, credentials, head, body, mac)
        batch = self._parse(project, credentials, head, body)
        session = self._sessions.cached(project, now_ms)
        if session is None:
            session = await self._sessions.join(project, now_ms)
        self._learn(head, project)
        return _admitted(
            batch,
            project=project,
            session=session,
            now_ms=now_ms,
            timestamp_s=timestamp_s,
            mac=mac,
        )

    def _learn(self, head: Head, project: str) -> None:
        """Let the project's next requests be usual ones, if they can be; see gateway/usual.py.

        By what keyring and sessions hold now: what this request has found may be over already.
        """
        if head.project and self._standings.is_usual(head.project):
            return
        single, shared = self._keyring.single_key(project), self._sessions.shared(project)
        if single and shared:
            key, expires_s = single
            session, ends_ms = shared
            self._standings.learn(project, session, key, expires_s=expires_s, ends_ms=ends_ms)

    def put(self, admitted: Admitted, receipt: Receipt) -> None:
        """Append it: see core.ports.EventQueue."""
        self._queue.put(admitted.entry, receipt)

    async def append(self, admitted: Admitted) -> str:
        """Append it, and wait: see core.ports.EventQueue."""
        return await self._queue.append(admitted.entry)

    def advise(self, error: Unavailable) -> None:
        """Let an append's error say when to come back, where the queue has no memory left."""
        if error.reason is Reason.BACKLOG_FULL:
            error.retry_after_s = self._backlog.retry_after_s()

    def _claim(self, head: Head, body: bytes, now_ms: int) -> tuple[str, int]:
        """(project id, signed timestamp). Raises Rejected: too_large, unauthorized."""
        if len(body) > self._body_bytes_max:
            raise Rejected(Reason.TOO_LARGE, f"The body is over {self._body_bytes_max:,} bytes")
        if head.project is None or head.timestamp is None or head.signature is None:
            raise unauthorized(AuthFailure.MISSING_HEADER)
        timestamp_s = parse_timestamp(head.timestamp, now_s=now_ms // 1000, window_s=self._window_s)
        return _project_id(head.project), timestamp_s

    def _parse(self, project: str, credentials: Credentials, head: Head, body: bytes) -> Batch:
        """The events of a signed request, paid for. Raises Rejected or Unavailable."""
        if credentials.status != "active":
            raise Rejected(Reason.FORBIDDEN)
        if self._backlog.full and not self._spools():
            raise Unavailable(Reason.BACKLOG_FULL, retry_after_s=self._backlog.retry_after_s())
        quota = self._quotas.check(project, len(body))
        encoding = parse_encoding(head.content_encoding)
        limits = self._limits
        batch = parse(body, content_type=head.content_type, encoding=encoding, limits=limits)
        if quota:
            quota.pay("events", batch.count - 1)  # one is paid
        return batch


@lru_cache(PROJECT_IDS_MAX)
def _project_id(header: bytes) -> str:
    """Raises Rejected (unauthorized) for what is no id of a project."""
    if not PROJECT_ID(header):
        raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
    return header.decode()


def _verify(credentials: Credentials, head: Head, body: bytes, now_ms: int) -> bytes:
    """The MAC; an unknown project costs the same, against a decoy, and is never let through."""
    assert head.timestamp is not None
    assert head.signature is not None
    keys = credentials.live(now_ms)
    try:
        mac = verify(keys, timestamp=head.timestamp, body=body, signature=head.signature)
    except Rejected:  # whatever the cause, the same steps
        raise unauthorized(credentials.failure) from None
    if credentials.status is None:  # the decoy was guessed, which 256 bits rule out: fail closed
        raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
    return mac


def _admitted(
    batch: Batch, *, project: str, session: str, now_ms: int, timestamp_s: int, mac: bytes
) -> Admitted:
    """The entry of a request, and the ids of its events as the worker will derive them."""
    form, encoding, count, body = batch.form, batch.encoding, batch.count, batch.body
    entry = Entry(project, session, now_ms, form, encoding, count, timestamp_s, mac, body)
    return Admitted(ids_of(entry, batch), batch.refused, entry)
