"""POST /api/v2/ingest on aiohttp: read the body under limits, admit it, write the answer."""

import asyncio
import time
from collections.abc import Iterable

from aiohttp import ClientPayloadError, web

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from core.metrics import Meter, Metric
from core.settings import Settings
from gateway import answers
from gateway.admission import Accepted, Admission
from gateway.answers import Answer
from runtime.log import get_log

log = get_log()
PATH = "/api/v2/ingest"


class Endpoint:
    """The handler, with the limits on reading."""

    def __init__(self, settings: Settings, *, admission: Admission, meter: Meter) -> None:
        self._admission = admission
        self._meter = meter
        self._body_bytes_max = settings.body_bytes_max
        self._body_timeout_s = settings.body_timeout_s
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = False  # set to True, it refuses the requests that come from then on

    async def ingest(self, request: web.Request) -> web.Response:
        """Answer one request, whatever is wrong with it."""
        self._active += 1
        self._idle.clear()
        try:
            if self.stopping:
                raise Unavailable(Reason.SHUTTING_DOWN)
            body = await self._read(request)
            return to_response(await self.answer(request.raw_headers, body))
        except NotAccepted as error:
            response = to_response(self.refuse(error))
            response.force_close()  # what is left of the body is not worth reading
            return response
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def finish(self, timeout_s: float) -> None:
        """Refuse what comes from now on, and wait for the answers to what came before."""
        self.stopping = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            log.warning("requests cut off", requests=self._active, after_s=timeout_s)

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

    async def _read(self, request: web.Request) -> bytes:
        """The body's bytes on the wire. Raises Rejected: too_large, request_timeout."""
        too_large = Rejected(Reason.TOO_LARGE, f"The body is over {self._body_bytes_max:,} bytes")
        if (request.content_length or 0) > self._body_bytes_max:
            raise too_large
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_timeout_s):
                async for piece in request.content.iter_any():
                    pieces.append(piece)
                    size += len(piece)
                    if size > self._body_bytes_max:
                        raise too_large
        except TimeoutError:
            raise Rejected(Reason.REQUEST_TIMEOUT) from None
        except (ConnectionError, ClientPayloadError):  # the client left, or broke its own framing
            raise Rejected(Reason.BAD_REQUEST, "The body broke off") from None
        return b"".join(pieces)

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
