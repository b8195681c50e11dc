"""Around the whole API: how often a client may ask, and what other origins' pages may.

Outermost, so that it counts and marks every answer, 404 and 405 too. Ingest is not part of it: its
quotas are the projects'; nor are the pages for orchestrators, which must answer without Redis, and
whoever asks; the contract itself is. Of
ingest with an API key, what ends in a 401 counts, by itself: each made-up key is looked up in Redis
and the store. Over the limit nothing more is, until the window ends.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from gateway.answers import not_accepted
from gateway.api.addresses import Proxies
from gateway.api.openapi import PATH as CONTRACT
from gateway.api.origins import Origins
from gateway.api.rate import RateLimit, limited
from gateway.endpoint import PATH as INGEST
from gateway.endpoint import to_response
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
LOG_S = 10
COUNTED = ("/api/", CONTRACT)
SIGNATURE = "X-Contox-Signature"
WINDOW_S = 60


class Edge:
    """What stands around all handlers.

    limit: of requests to the API, per client. refused: of envelopes that end in a 401, per client.
    """

    def __init__(
        self,
        limit: RateLimit,
        refused: RateLimit,
        proxies: Proxies,
        origins: Origins,
        meter: Meter,
    ) -> None:
        self._limit = limit
        self._refused = refused
        self._proxies = proxies
        self._origins = origins
        self._meter = meter
        self._throttle = Throttle(LOG_S)

    def middleware(self) -> Middleware:
        """The middleware."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path == INGEST:
                return await self._ingest(request, handler)
            if request.path.startswith(COUNTED):
                return await self._api(request, handler)
            return await handler(request)

        return middleware

    async def _api(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            standing = await self._limit.hit(client_of(request, self._proxies))
        except QUEUE_ERRORS as error:
            self._log(error)
            refusal = to_response(not_accepted(Unavailable()))
            refusal.headers.update(self._limit.unknown().headers())
            return refusal
        response: web.StreamResponse
        if standing.retry_after_s is not None:
            response = to_response(not_accepted(limited(standing.retry_after_s)))
        elif self._origins.is_preflight(request):
            response = self._origins.preflight()
        else:
            response = await handler(request)
        response.headers.update(standing.headers())
        response.headers.update(self._origins.headers(request))
        return response

    async def _ingest(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if hdrs.AUTHORIZATION not in request.headers or SIGNATURE in request.headers:
            return await handler(request)
        client = client_of(request, self._proxies)
        if wait_s := self._refused.over_s(client):
            self._meter.add(Metric.REQUESTS, 1, "429", Reason.RATE_LIMITED.code)
            refusal = to_response(not_accepted(limited(wait_s)))
            refusal.force_close()  # the body is not worth reading
            return refusal
        response = await handler(request)
        if response.status == Reason.UNAUTHORIZED.status:
            try:
                await self._refused.hit(client)
            except QUEUE_ERRORS as error:
                self._log(error)
        return response

    def _log(self, error: BaseException) -> None:
        if (held_back := self._throttle.held_back("queue")) is not None:
            why = str(error) or type(error).__name__
            log.warning("rate limits cannot be kept", error=why, held_back=held_back)


def client_of(request: web.Request, proxies: Proxies) -> str:
    """The address that a request is counted under."""
    return proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, []))
