"""POST /api/v2/ingest on aiohttp: read the body under limits, admit it, write the answer."""

import asyncio
import time
from collections.abc import Iterable
from random import random

from aiohttp import web

from core.errors import NotAccepted, Reason, Rejected
from core.metrics import Meter, Metric
from core.settings import Settings
from gateway import answers
from gateway.admission import Accepted, Admission
from gateway.answers import Answer
from gateway.receiving import Receiving

PATH = "/api/v2/ingest"
PENALTY_S = 0.25
PENALTIES_MAX = 1_000


class Endpoint:
    """The handler."""

    def __init__(self, settings: Settings, *, admission: Admission, meter: Meter) -> None:
        self._admission = admission
        self._meter = meter
        self._penalties = 0
        self.receiving = Receiving(settings, meter)

    async def ingest(self, request: web.Request) -> web.Response:
        """Answer one request, whatever is wrong with it."""
        try:
            body = await self.receiving.read(request)
        except NotAccepted as error:
            response = to_response(self.refuse(error))
            response.force_close()  # what is left of the body is not worth reading
            return response
        return to_response(await self.answer_dropping(request.raw_headers, body))

    async def answer_dropping(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Answer:
        """Answer a request whose body counts as being received, and will not any more."""
        try:
            answer = await self.answer(headers, body)
        finally:
            self.receiving.drop(len(body))
        if answer.code == Reason.RATE_LIMITED.code:
            del body
            await self._hold_back()
        return answer

    async def _hold_back(self) -> None:
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

    async def answer(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Answer:
        """Admit a request whose body is complete; the same for every transport."""
        started_s = time.perf_counter()
        try:
            result = await self._admission.admit(headers, body)
        except NotAccepted as error:
            return self.refuse(error)
        self._meter.observe(Metric.ADMISSION_SECONDS, time.perf_counter() - started_s)
        self._count_accepted(result, len(body))
        return answers.accepted(result)

    def refuse(self, error: NotAccepted) -> Answer:
        """The answer to what is not taken, counted."""
        answer = answers.not_accepted(error)
        self._meter.add(Metric.REQUESTS, 1, str(answer.status), answer.code)
        if isinstance(error, Rejected) and error.failure:
            self._meter.add(Metric.AUTH_FAILURES, 1, error.failure)
        return answer

    def _count_accepted(self, result: Accepted, body_bytes: int) -> None:
        self._meter.add(Metric.REQUESTS, 1, "202", "accepted")
        self._meter.add(Metric.EVENTS_ACCEPTED, len(result.event_ids), result.durability)
        self._meter.add(Metric.BYTES_ACCEPTED, body_bytes)
        for refusal in result.refused:
            self._meter.add(Metric.EVENTS_REJECTED, 1, refusal.reason.code)


def to_response(answer: Answer) -> web.Response:
    """The answer as aiohttp writes it."""
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
