"""The aiohttp application: routes, and JSON for every error that aiohttp itself would raise."""

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from core.errors import NotAccepted, Reason
from core.metrics import Source
from gateway.answers import not_accepted
from gateway.endpoint import PATH, Endpoint, to_response
from gateway.request_ids import request_ids
from runtime.log import get_log
from runtime.status import Readiness, add_fixed_headers, nothing, status_routes

log = get_log()


def build_app(
    endpoint: Endpoint,
    *,
    source: Source,
    missing: Readiness,
    degraded: Readiness = nothing,
    resources: Iterable[web.RouteDef] = (),
    around: Iterable[Middleware] = (),
) -> web.Application:
    """The gateway's application. `source`: of the metrics; `missing`: what keeps it from accepting
    durably now; `degraded`: what is not as it should be, though it accepts; `resources`: the routes
    of the API; `around`: what sees every request and answer."""
    app = web.Application(middlewares=[*around, json_errors])
    app.router.add_post(PATH, endpoint.ingest, expect_handler=expect_continue)
    app.router.add_routes(status_routes(source, missing, degraded))
    app.router.add_routes(resources)
    app.on_response_prepare.append(add_fixed_headers)
    app.on_response_prepare.append(add_request_id)
    return app


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers what no handler has answered, in the contract's words."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = to_response(not_accepted(NotAccepted(Reason.METHOD_NOT_ALLOWED)))
        response.headers["Allow"] = error.headers["Allow"]
    except web.HTTPNotFound:
        response = to_response(not_accepted(NotAccepted(Reason.NOT_FOUND)))
    except Exception:  # a bug: said loudly here, and in the contract's words to the client
        log.exception("request failed", path=request.path)
        response = to_response(not_accepted(NotAccepted(Reason.INTERNAL)))
    response.force_close()
    return response


async def expect_continue(request: web.Request) -> web.StreamResponse | None:
    """Ask for the body where the client waits to be asked (RFC 9110, section 10.1.1)."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        sentence = "Only 100-continue can be expected"
        response = to_response(not_accepted(NotAccepted(Reason.BAD_REQUEST, sentence)))
        response.force_close()
        return response
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


async def add_request_id(_request: web.Request, response: web.StreamResponse) -> None:
    """Sends an id that is unique over processes; an on_response_prepare signal."""
    response.headers["X-Request-Id"] = request_ids.next()
