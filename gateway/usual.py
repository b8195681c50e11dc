"""The usual request: one event, signed with its project's only secret, in a session that is open.

Requirements  Most requests are usual; what they cost is what a gateway costs. They must be judged
              exactly as gateway/admission.py judges, by the same rules and in the same order.
Solution      All that have arrived together go through one loop, with no object and no call but
              those of the rules themselves; what they are appended with and answered by is made for
              all at once. Here nothing is ever refused: whatever is not usual, or not right, goes
              to admission as if it had not been here.
Cost          A signature that is wrong is computed twice: for a project that does not exist, too.
"""

import time
from collections.abc import Callable
from os import urandom
from typing import NamedTuple

from core.auth import keyed, parse_timestamp
from core.body import Limits, parse_one
from core.codec import middle_of_one
from core.errors import Rejected
from core.head import Head
from core.ids import event_id
from core.kernels import entry_start
from core.ports import EventQueue
from core.settings import Settings
from gateway.backlog import Backlog
from gateway.call import CRLF
from gateway.ones import Ones, Waiting
from gateway.quotas import Quotas
from gateway.standings import Standing, Standings
from runtime.log import get_log

log = get_log()
BUG = "a usual request was not judged"
ONES_MAX = 250  # in a bundle
JSON = frozenset((b"application/json", b"application/json; charset=utf-8"))
STAMPS_MAX = 1_000  # texts of timestamps that are remembered for a second
NOBODY = 0.0  # when the decoy has expired
Request = tuple[Waiting, Head, bytes]


class Moment(NamedTuple):
    """What requests that are taken together have alike."""

    now_ms: int
    now_s: float  # by time.monotonic, as keys expire
    started_s: float  # by time.perf_counter
    middle: bytes  # of their entries' headers
    bundles: dict[int, Ones]  # by partition


class Usual:
    """Takes what is usual out of what has arrived."""

    def __init__(
        self,
        settings: Settings,
        *,
        standings: Standings,
        queue: EventQueue,
        backlog: Backlog,
        quotas: Quotas,
        told: Callable[[Ones, str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """told: answers a bundle that has reached this durability."""
        self._found = standings.found
        self._queue = queue
        self._backlog = backlog
        self._quotas = quotas
        self._told = told
        self._clock = clock
        self._window_s = settings.window_s
        self._limits: Limits = settings.limits()
        self._bytes_max = min(
            settings.body_bytes_max, self._limits.decoded_bytes_max, self._limits.event_bytes_max
        )
        self._now_s = 0
        self._stamps: dict[bytes, tuple[bytes, int]] = {}  # that are within the window now
        self._decoy = Standing(
            "", "", keyed(urandom(32).hex()), partition=0, expires_s=NOBODY, ends_ms=0
        )

    def take(self, requests: list[Request]) -> list[Request]:
        """Append the usual ones of these; the others are returned, in their order."""
        if self._quotas.bounded or self._backlog.full:
            return requests
        moment = self._moment()
        others: list[Request] = []
        for request in requests:
            try:
                if not self._is_taken(request, moment):
                    others.append(request)
            except Exception:  # a bug, said loudly: admission may know better
                log.exception(BUG)
                others.append(request)
        for ones in moment.bundles.values():
            self._put(ones)
        return others

    def _is_taken(self, request: Request, moment: Moment) -> bool:
        """Put a request into a bundle; False: it is not usual, or not right.

        Up to the signature nothing may depend on whether there is such a project.
        """
        served, head, body = request
        project, timestamp, signature = head.project, head.timestamp, head.signature
        if project is None or timestamp is None or signature is None:
            return False
        stamped = self._stamps.get(timestamp) or self._stamp(timestamp)
        if (
            stamped is None
            or head.content_type not in JSON
            or head.content_encoding is not None
            or len(body) > self._bytes_max
            or not body.startswith(b"{")
        ):
            return False
        standing = self._found.get(project, self._decoy)
        mac = standing.key.proves(signature, timestamp, body)
        if mac is None:
            return False
        if standing.expires_s <= moment.now_s or standing.ends_ms <= moment.now_ms:
            return False
        try:
            event = parse_one(body, self._limits)
        except Rejected:  # admission says why
            return False
        stamp, timestamp_s = stamped
        identity = event.id or event_id(standing.project, timestamp_s=timestamp_s, mac=mac)
        ones = moment.bundles.get(standing.partition)
        if ones is None or len(ones.ones) >= ONES_MAX:
            ones = self._next(ones, standing.partition, moment)
        start = entry_start(standing.opening, moment.middle, stamp, mac, len(body))
        ones.pieces += (start, body, CRLF)
        ones.ones.append((served, standing, identity, body, timestamp_s, mac))
        events, field = ones.events, standing.field
        events[field] = events.get(field, 0) + 1
        return True

    def _moment(self) -> Moment:
        now_ms = int(self._clock() * 1000)
        if now_ms // 1000 != self._now_s or len(self._stamps) > STAMPS_MAX:
            self._now_s = now_ms // 1000
            self._stamps.clear()
        return Moment(now_ms, time.monotonic(), time.perf_counter(), middle_of_one(now_ms), {})

    def _stamp(self, timestamp: bytes) -> tuple[bytes, int] | None:
        """A timestamp as an entry's header has it, and its seconds; None if it does not count."""
        try:
            seconds = parse_timestamp(timestamp, now_s=self._now_s, window_s=self._window_s)
        except Rejected:  # admission says why
            return None
        stamped = self._stamps[timestamp] = b"%d|" % seconds, seconds
        return stamped

    def _next(self, full: Ones | None, partition: int, moment: Moment) -> Ones:
        """A partition's next bundle, after one that is full."""
        ones = moment.bundles[partition] = Ones(
            partition, now_ms=moment.now_ms, started_s=moment.started_s, told=self._told
        )
        if full is not None:
            self._put(full)
        return ones

    def _put(self, ones: Ones) -> None:
        try:
            self._put_all(ones)
        except Exception:  # a bug; nobody else would tell them, appended or not
            log.exception(BUG)
            for one in ones.ones:
                one[0].abort()

    def _put_all(self, ones: Ones) -> None:
        ones.size = sum(map(len, ones.pieces))
        ones.body_bytes = sum(map(len, ones.pieces[1::3]))
        ones.entries = len(ones.ones)
        self._queue.put_all(ones)
