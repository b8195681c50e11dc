"""What stands before every handler of the API: who asks, may they, and failures as answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import orjson
from aiohttp import hdrs, web

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from core.metrics import Meter, Metric
from gateway.answers import JSON, not_accepted
from gateway.api.bodies import read_json
from gateway.api.caller import Caller, Via
from gateway.api.identity import Identity
from gateway.api.origins import Origins
from gateway.app import expect_continue
from gateway.endpoint import to_response
from runtime.log import Throttle, get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
LOG_S = 10
READS = (hdrs.METH_GET, hdrs.METH_HEAD)
FOREIGN = "The request does not come from this gateway's own pages"
FOR_ADMINS = "This is for admins"
FOR_USERS = "The operator's token is no user's; use a key or sign in"
Shape = TypeVar("Shape")


class Access(Enum):
    """Whom a handler is for."""

    CALLER = "anyone who is known: a user, or the operator's token"
    USER = "a user"
    ADMIN = "an admin, or the operator's token"


@dataclass(frozen=True, slots=True)
class Operation:
    """A route as the contract has it (gateway/api/openapi.py).

    body, query, answer: the types that JSON and query parameters have; `Shape | None` for a body
    that may be left out; an answer of None is any JSON, and none at all with the status 204.
    """

    method: str
    path: str
    access: Access | None = None  # None: anyone's
    body: Any = None
    query: Any = None
    answer: Any = None
    status: int | tuple[int, ...] = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who asks."""

    request: web.Request
    caller: Caller
    body_timeout_s: float

    @property
    def user_id(self) -> str:
        """The user who asks; for handlers that are for users."""
        assert self.caller.user_id is not None
        return self.caller.user_id

    async def json(self, shape: type[Shape]) -> Shape:
        """The body; see gateway.api.bodies.read_json."""
        return await read_json(self.request, shape, timeout_s=self.body_timeout_s)


Handler = Callable[[Asked], Awaitable[web.Response]]
OpenHandler = Callable[[web.Request], Awaitable[web.Response]]


class Guard:
    """Makes routes of handlers, which hold nothing but what they are for."""

    def __init__(
        self, identity: Identity, origins: Origins, meter: Meter, *, body_timeout_s: float
    ) -> None:
        self._identity = identity
        self._origins = origins
        self._meter = meter
        self._body_timeout_s = body_timeout_s
        self._throttle = Throttle(LOG_S)
        self.operations: list[Operation] = []  # all that routes were made of

    def route(
        self,
        method: str,
        path: str,
        handler: Handler,
        access: Access = Access.CALLER,
        **contract: Any,
    ) -> web.RouteDef:
        """A route for those who are known, and may. contract: see Operation."""

        async def known(request: web.Request) -> web.Response:
            caller = await self._identity.of(request)
            self._check(request, caller, access)
            return await handler(Asked(request, caller, self._body_timeout_s))

        return self._route(Operation(method, path, access, **contract), known)

    def open_route(
        self, method: str, path: str, handler: OpenHandler, **contract: Any
    ) -> web.RouteDef:
        """A route for anyone. contract: see Operation."""
        return self._route(Operation(method, path, **contract), handler)

    def _route(self, operation: Operation, handler: OpenHandler) -> web.RouteDef:
        """What the handler raises is answered in the contract's words."""
        self.operations.append(operation)
        method, path = operation.method, operation.path

        async def guarded(request: web.Request) -> web.Response:
            try:
                response = await handler(request)
            except NotAccepted as error:
                response = self._refuse(error)
            except QUEUE_ERRORS as error:
                if (held_back := self._throttle.held_back("queue")) is not None:
                    log.warning(
                        "resource not served",
                        path=path,
                        error=str(error) or type(error).__name__,
                        held_back=held_back,
                    )
                response = self._refuse(Unavailable())
            response.headers[hdrs.CACHE_CONTROL] = "no-store"
            return response

        return web.route(method, path, guarded, expect_handler=expect_continue)

    def check_origin(self, request: web.Request) -> None:
        """Raises Rejected (forbidden) unless the request comes from a page of ours."""
        if not self._origins.is_own(request):
            raise Rejected(Reason.FORBIDDEN, FOREIGN)

    def _check(self, request: web.Request, caller: Caller, access: Access) -> None:
        if caller.via is Via.COOKIE and request.method not in READS:
            self.check_origin(request)
        if access is Access.ADMIN and not caller.is_admin:
            raise Rejected(Reason.FORBIDDEN, FOR_ADMINS)
        if access is Access.USER and caller.user_id is None:
            raise Rejected(Reason.FORBIDDEN, FOR_USERS)

    def _refuse(self, error: NotAccepted) -> web.Response:
        if isinstance(error, Rejected) and error.failure:
            self._meter.add(Metric.AUTH_FAILURES, 1, error.failure)
        response = to_response(not_accepted(error))
        if error.reason in (Reason.TOO_LARGE, Reason.REQUEST_TIMEOUT):
            response.force_close()  # what is left of the body is not worth reading
        return response


def json_response(content: Any, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(status=status, body=orjson.dumps(content), content_type=JSON)
