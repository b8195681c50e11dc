"""Usual requests (core/usual.py), taken out of what has arrived, and appended together."""

import time
from collections.abc import Callable

from core.auth import parse_timestamp
from core.codec import middle_of_one
from core.errors import Rejected
from core.ports import EventQueue
from core.settings import Settings
from core.usual import Judge
from core.usual_python import Moment, Request, Stamp
from gateway.answers import ANSWER_OF_ONE
from gateway.backlog import Backlog
from gateway.ones import Ones
from gateway.quotas import Quotas
from gateway.standings import Standings
from runtime.log import get_log

log = get_log()
BUG = "a usual request was not judged"
STAMPS_MAX = 1_000  # texts of timestamps that are remembered for a second


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
        self._queue = queue
        self._backlog = backlog
        self._quotas = quotas
        self._told = told
        self._clock = clock
        self._window_s = settings.window_s
        self._now_s = 0
        self._stamps: dict[bytes, Stamp] = {}  # that are within the window now
        limits = settings.limits()
        self._judge = Judge(
            limits,
            bytes_max=min(
                settings.body_bytes_max, limits.decoded_bytes_max, limits.event_bytes_max
            ),
            found=standings.found,
            decoy=standings.decoy,
            stamps=self._stamps,
            stamp=self._stamp,
            bundle=self._bundle,
            failed=lambda: log.exception(BUG),
            answer=ANSWER_OF_ONE,
        )

    def take(self, requests: list[Request]) -> list[Request]:
        """Append the usual ones of these; the others are returned, in their order."""
        if self._quotas.bounded or self._backlog.full:
            return requests
        moment = self._moment()
        others = self._judge.take(requests, moment)
        for ones in moment.bundles.values():
            self._put(ones)
        return others

    def _moment(self) -> Moment:
        now_ms = int(self._clock() * 1000)
        if now_ms // 1000 != self._now_s or len(self._stamps) > STAMPS_MAX:
            self._now_s = now_ms // 1000
            self._stamps.clear()
        return Moment(now_ms, time.monotonic(), time.perf_counter(), middle_of_one(now_ms), {})

    def _stamp(self, timestamp: bytes) -> Stamp | None:
        """A timestamp as an entry's header has it, and its seconds; None if it does not count."""
        try:
            seconds = parse_timestamp(timestamp, now_s=self._now_s, window_s=self._window_s)
        except Rejected:  # admission says why
            return None
        stamped = self._stamps[timestamp] = b"%d|" % seconds, seconds
        return stamped

    def _bundle(self, full: Ones | None, partition: int, moment: Moment) -> Ones:
        """A partition's next bundle, after one that is full."""
        ones = moment.bundles[partition] = Ones(
            partition, started_s=moment.started_s, told=self._told
        )
        if full is not None:
            self._put(full)
        return ones

    def _put(self, ones: Ones) -> None:
        try:
            self._queue.put_all(ones)
        except Exception:  # a bug; nobody else would tell them, appended or not
            log.exception(BUG)
            for one in ones.ones:
                one[0].abort()
