"""Around the whole API: how often a client may ask, and what other origins' pages may.

Outermost, so that it counts and marks every answer, 404 and 405 too. Ingest is not part of it: its
quotas are the projects'; nor are the pages for orchestrators, which must answer without Redis.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from core.errors import Reason, Rejected, Unavailable
from gateway.answers import not_accepted
from gateway.api.addresses import Proxies
from gateway.api.origins import Origins
from gateway.api.rate import RateLimit
from gateway.endpoint import PATH as INGEST
from gateway.endpoint import to_response
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
LOG_S = 10
API = "/api/"
WINDOW_S = 60


def limited(retry_after_s: int) -> Rejected:
    """The 429 of the API; the sentence is a part of the contract."""
    sentence = f"Rate limit exceeded. Please retry after {retry_after_s} seconds."
    return Rejected(Reason.RATE_LIMITED, sentence, retry_after_s=retry_after_s)


def around(limit: RateLimit, proxies: Proxies, origins: Origins) -> Middleware:
    """The middleware."""
    throttle = Throttle(LOG_S)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API) or request.path == INGEST:
            return await handler(request)
        try:
            standing = await limit.hit(client_of(request, proxies))
        except QUEUE_ERRORS as error:
            if (held_back := throttle.held_back("queue")) is not None:
                why = str(error) or type(error).__name__
                log.warning("rate limits cannot be kept", error=why, held_back=held_back)
            return to_response(not_accepted(Unavailable()))
        response: web.StreamResponse
        if standing.retry_after_s is not None:
            response = to_response(not_accepted(limited(standing.retry_after_s)))
        elif origins.is_preflight(request):
            response = origins.preflight()
        else:
            response = await handler(request)
        response.headers.update(standing.headers())
        response.headers.update(origins.headers(request))
        return response

    return middleware


def client_of(request: web.Request, proxies: Proxies) -> str:
    """The address that a request is counted under."""
    return proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, []))
