"""POST /api/v2/ingest on either transport: what a request is answered, and what is counted."""

import asyncio
import time
from collections.abc import Awaitable
from random import random

from aiohttp import hdrs, web

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from core.head import Head, read_head
from core.metrics import Cell, Meter, Metric
from core.settings import Settings
from gateway import answers
from gateway.admission import Admission, Admitted
from gateway.answers import Answer
from gateway.envelopes import Envelopes
from gateway.ones import Ones
from gateway.receiving import Receiving
from gateway.render import render_ones
from runtime.log import get_log

log = get_log()
BUG = "a request was not answered"
PATH = "/api/v2/ingest"
PENALTY_S = 0.25
PENALTIES_MAX = 1_000


class Endpoint:
    """The handler."""

    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        meter: Meter,
        envelopes: Envelopes | None = None,
    ) -> None:
        """envelopes: None takes none, whatever key they come with."""
        self.admission = admission
        self._envelopes = envelopes
        self.receiving = Receiving(settings, meter)
        self._meter = meter
        self._penalties = 0
        self._requests = meter.cell(Metric.REQUESTS, "202", "accepted")
        self._bytes = meter.cell(Metric.BYTES_ACCEPTED)
        self._events: dict[str, Cell] = {}  # by durability
        self._seconds = meter.histogram(Metric.ADMISSION_SECONDS)

    async def ingest(self, request: web.Request) -> web.Response:
        """Answer one request on aiohttp, whatever is wrong with it."""
        try:
            body = await self.receiving.read(request)
        except NotAccepted as error:
            response = to_response(self.refuse(error))
            response.force_close()  # what is left of the body is not worth reading
            return response
        try:
            answer = await self._answer_any(request, body)
        except Rejected as error:  # a header was repeated
            answer = self.refuse(error)
        finally:
            self.receiving.drop(len(body))
        if answer.kind.status == Reason.RATE_LIMITED.status:
            del body
            await self.hold_back()
        return to_response(answer)

    async def answer(self, head: Head, body: bytes) -> Answer:
        """Admit a request whose body is complete, waiting for what it takes."""
        return await self._answer(self.admission.check(head, body), len(body))

    async def _answer_any(self, request: web.Request, body: bytes) -> Answer:
        """The same for a signed request or an envelope: where there is a signature among the
        headers, Authorization counts for nothing. Raises Rejected."""
        head = read_head(request.raw_headers)
        bearer = request.headers.getall(hdrs.AUTHORIZATION, [])
        if head.signature is not None or not bearer or self._envelopes is None:
            return await self.answer(head, body)
        return await self._answer(self._envelopes.check(bearer, head, body), len(body))

    async def _answer(self, checking: Awaitable[Admitted], body_bytes: int) -> Answer:
        started_s = time.perf_counter()
        try:
            admitted = await checking
        except NotAccepted as error:
            return self.refuse(error)
        try:
            durability = await self.admission.append(admitted)
        except Unavailable as error:
            return self.not_appended(error)
        return self.accepted(admitted, durability, body_bytes, started_s)

    async def hold_back(self) -> None:
        """Let a 429 wait.

        A client in a loop that takes no heed of Retry-After sends its next request once it has the
        answer, and refusing is as much work as accepting: it would take the processor from others.
        The waits differ, so that many connections do not come back all at once. The bound keeps
        what waits small; beyond it the answer is given at once.
        """
        if self._penalties >= PENALTIES_MAX:
            return
        self._penalties += 1
        try:
            await asyncio.sleep(PENALTY_S * (0.5 + random()))  # noqa: S311 - no secret
        finally:
            self._penalties -= 1

    def accepted(
        self, admitted: Admitted, durability: str, body_bytes: int, started_s: float
    ) -> Answer:
        """The answer to what is in the queue, counted. started_s: by time.perf_counter."""
        self._events_of(durability).value += len(admitted.event_ids)
        self._requests.value += 1
        self._bytes.value += body_bytes
        for refusal in admitted.refused:
            self._meter.add(Metric.EVENTS_REJECTED, 1, refusal.reason.code)
        self._seconds.observe(time.perf_counter() - started_s)
        return answers.accepted(admitted, durability)

    def accepted_ones(self, ones: Ones, durability: str) -> None:
        """Answer requests of one event each that are in the queue, counted."""
        events, of = self._events_of(durability), ones.ones
        events.value += len(of)
        self._requests.value += len(of)
        self._bytes.value += ones.body_bytes
        self._seconds.observe(time.perf_counter() - ones.started_s, len(of))
        self.receiving.drop(ones.body_bytes)
        now_s = asyncio.get_running_loop().time()
        for one, response in zip(of, render_ones(durability, of), strict=True):
            try:
                one[0].told(response, now_s)
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception(BUG)
                one[0].abort()

    def _events_of(self, durability: str) -> Cell:
        events = self._events.get(durability)
        if events is None:
            events = self._meter.cell(Metric.EVENTS_ACCEPTED, durability)
            self._events[durability] = events
        return events

    def not_appended(self, error: Unavailable) -> Answer:
        """The answer to what the queue did not take, counted."""
        self.admission.advise(error)
        return self.refuse(error)

    def refuse(self, error: NotAccepted) -> Answer:
        """The answer to what is not taken, counted."""
        answer = answers.not_accepted(error)
        self._meter.add(Metric.REQUESTS, 1, str(answer.kind.status), answer.kind.code)
        if isinstance(error, Rejected) and error.failure:
            self._meter.add(Metric.AUTH_FAILURES, 1, error.failure)
        return answer


def to_response(answer: Answer) -> web.Response:
    """The answer as aiohttp writes it."""
    kind = answer.kind
    return web.Response(status=kind.status, headers=kind.headers, body=answer.body)
