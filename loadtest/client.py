"""Sends a process's share of the requests, over raw connections that carry one request at a time.

Open loop: a pump puts what has fallen due on idle connections, and what finds none waits; latency
counts from the due time. Closed loop: an answer starts the next request.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from loadtest.connection import Connection, Job, Reply
from loadtest.measure import Tally, count_one
from loadtest.plan import Plan
from loadtest.requests import Request

PUMP_S = 0.001
NEVER_S = float("inf")
DROP_S = 0.1
RECONNECT_S = 0.05
RETRY_S = 0.1  # before the second attempt; doubles with each
RETRY_MAX_S = 1.0
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
WAITING_MAX = 200_000  # due requests that found no connection; more are skipped, and counted
FINISH_S = 15.0  # for answers, after the last request fell due; and a timeout more for a retry


class _Refusal(msgspec.Struct):
    code: str = ""


class _Listed(msgspec.Struct):
    index: int


class _Batch(msgspec.Struct):
    rejected: list[_Listed] = []


class Source(Protocol):
    """Where requests come from."""

    def next(self) -> Request:
        """The next request."""


class Sender:
    """One process's part of a run."""

    def __init__(
        self,
        plan: Plan,
        *,
        requests: Source,
        tally: Tally,
        host: str,
        port: int,
        connections: int,
        schedule: Iterator[float] | None,
    ) -> None:
        self._plan = plan
        self._requests = requests
        self._tally = tally
        self._address = host, port
        self._connections_max = connections
        self._schedule = schedule
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[Job] = deque()
        self._unfinished = 0
        self._started = self._sent_all = self._ending = False
        self._answered_all = asyncio.Event()
        self._stop_s = self._start_s = 0.0
        self._upcoming_s = NEVER_S  # when the next request falls due, in an open loop
        self._connecting: set[asyncio.Future[None]] = set()

    async def run(self, start_s: float) -> None:
        """Send until the plan's duration is over and what was sent is answered.

        start_s: when the first request may fall due, by time.perf_counter().
        """
        self._stop_s = start_s + self._plan.duration_s
        await asyncio.gather(*(self._connect() for _ in range(self._connections_max)))
        await asyncio.sleep(max(0.0, start_s - time.perf_counter()))
        if self._schedule is None:
            self._started = True
            idle, self._idle = self._idle, []
            for connection in idle:
                self._next_closed(connection)
            await self._closed_loop_ends()
        else:
            await self._pump(start_s)
        self._sent_all = True
        await self._finish_up()
        self._ending = True
        self._tally.counts.unanswered = self._unfinished
        for connection in list(self._all):
            connection.abort()

    async def _finish_up(self) -> None:
        """Wait a bounded time for answers, further attempts among them; the rest is counted."""
        retried = self._plan.attempts_max > 1
        until_s = time.perf_counter() + FINISH_S + retried * self._plan.request_timeout_s
        while self._unfinished and time.perf_counter() < until_s:
            self._drop_stalled()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answered_all.wait(), DROP_S)

    async def _closed_loop_ends(self) -> None:
        while time.perf_counter() < self._stop_s:
            self._drop_stalled()
            await asyncio.sleep(DROP_S)

    def halt(self) -> None:
        """End the load now; what is under way is still waited for."""
        self._stop_s = 0.0

    async def _pump(self, start_s: float) -> None:
        """Put on the wire what has fallen due, every millisecond at least."""
        self._start_s, look_s = start_s, 0.0
        self._upcoming_s = self._next_due()
        while self._upcoming_s < NEVER_S and self._stop_s:
            now_s = self._send_due()
            if now_s >= look_s:
                self._drop_stalled()
                look_s = now_s + DROP_S
            await asyncio.sleep(PUMP_S)

    def _send_due(self) -> float:
        """Put on the wire what has fallen due by now, which is returned."""
        now_s = time.perf_counter()
        while self._upcoming_s <= now_s and self._stop_s:
            self._tally.counts.offered += 1
            self._start(self._upcoming_s)
            self._upcoming_s = self._next_due()
        return now_s

    def _next_due(self) -> float:
        """When the next request falls due, by time.perf_counter()."""
        assert self._schedule is not None
        return self._start_s + next(self._schedule, NEVER_S)

    def _start(self, due_s: float) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._tally.counts.skipped += 1
            return
        job = Job(due_s, self._requests.next())
        self._unfinished += 1
        self._put(job)

    def _put(self, job: Job) -> None:
        if self._idle:
            self._write(self._idle.pop(), job)
        else:
            self._waiting.append(job)

    def _write(self, connection: Connection, job: Job) -> None:
        counts = self._tally.counts
        counts.sent_bytes += len(job.request.raw)
        if job.attempts:
            counts.retried += 1
        else:
            counts.sent += 1
        job.attempts += 1
        connection.send(job)

    def _next_closed(self, connection: Connection) -> None:
        """The closed loop: the next request falls due when the last is answered."""
        now_s = time.perf_counter()
        if now_s < self._stop_s:
            self._tally.counts.offered += 1
            self._unfinished += 1
            self._write(connection, Job(now_s, self._requests.next()))

    def on_idle(self, connection: Connection) -> None:
        """A connection can take the next job."""
        self._all.add(connection)
        if self._waiting:
            self._write(connection, self._waiting.popleft())
        elif self._schedule is None and self._started:
            self._next_closed(connection)
        else:
            self._idle.append(connection)

    def on_reply(self, connection: Connection, job: Job, reply: Reply) -> None:
        """A job has an answer: final, or one that time cures."""
        status, body = reply.status, reply.body
        if job.request.expect:
            self._check_refusal(job, status, body)
        elif status == 202:
            self._accept(job, body)
        elif status in RETRIED and job.attempts < self._plan.attempts_max:
            self._again(job)
        else:
            self._refuse(status, body)
        if reply.closes:
            connection.retire()
        else:
            self.on_idle(connection)
        self._send_due()  # what is due need not wait for the next millisecond

    def on_lost(self, connection: Connection, job: Job | None) -> None:
        """A connection has ended; what waited on it has an unknown outcome."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._ending:
            return
        self._tally.counts.connection_errors += not connection.retired
        if job is not None:
            if job.attempts < self._plan.attempts_max:
                self._again(job)
            else:
                self._finish()
                self._tally.counts.unknown += 1
        asyncio.get_running_loop().call_later(RECONNECT_S, self._reconnect)

    def _accept(self, job: Job, body: bytes) -> None:
        tally, request = self._tally, job.request
        tally.latencies_us.append(int((time.perf_counter() - job.due_s) * 1e6))
        tally.counts.accepted += 1
        tally.counts.events += request.count
        self._finish()
        if tally.acknowledged is None:
            return
        if request.count == 1 or b'"rejected":[]' in body:
            tally.acknowledged.add_range(request.first, request.count)
            return
        listed = {refusal.index for refusal in msgspec.json.decode(body, type=_Batch).rejected}
        tally.counts.events -= len(listed)
        for index in set(range(request.count)) - listed:
            tally.acknowledged.add_range(request.first + index, 1)

    def _refuse(self, status: int, body: bytes) -> None:
        count_one(self._tally.counts.refused, _answer(status, body))
        self._finish()

    def _check_refusal(self, job: Job, status: int, body: bytes) -> None:
        """A hostile request must get the contract's answer; overload is one, too."""
        answer, counts = _answer(status, body), self._tally.counts
        count_one(counts.refused, answer)
        if answer != job.request.expect and status not in RETRIED:
            count_one(counts.wrong, f"{job.request.name}: {answer}")
        self._finish()

    def _again(self, job: Job) -> None:
        """Try a job again after a while; its latency goes on counting from when it fell due."""
        delay_s = min(RETRY_MAX_S, RETRY_S * 2 ** min(job.attempts - 1, 10))
        asyncio.get_running_loop().call_later(delay_s, self._put, job)

    def _finish(self) -> None:
        self._unfinished -= 1
        if self._sent_all and not self._unfinished:
            self._answered_all.set()

    def _drop_stalled(self) -> None:
        """End the connections whose answer is overdue; their jobs count as lost."""
        before_s = time.perf_counter() - self._plan.request_timeout_s
        for connection in [c for c in self._all if c.job and c.sent_s < before_s]:
            connection.abort()

    def _reconnect(self) -> None:
        if not self._ending:
            task = asyncio.ensure_future(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self), *self._address)
        except OSError:
            self._tally.counts.connection_errors += 1
            loop.call_later(RECONNECT_S, self._reconnect)


def _answer(status: int, body: bytes) -> str:
    """ "status code" of an answer that is not 202."""
    try:
        return f"{status} {msgspec.json.decode(body, type=_Refusal).code}"
    except msgspec.DecodeError:
        return f"{status} no-json"
