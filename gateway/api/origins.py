"""From whose pages a browser asks (RFC 6454): our own, those that may use the API, or others'.

A cookie is sent by the browser, whoever has made it ask; so what changes something with a cookie
must come from our own pages. Pages that are allowed by CORS bring a key, never the cookie.
"""

from collections.abc import Collection

from aiohttp import hdrs, web

METHODS = "GET, POST, PATCH, DELETE"
HEADERS = "Authorization, Content-Type"
EXPOSED = "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
PREFLIGHT_S = "600"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """public: our own, or empty for what the Host header says. allowed: those of CORS."""

    def __init__(self, public: Collection[str], allowed: Collection[str]) -> None:
        self._public = frozenset(public)
        self._allowed = frozenset(allowed)

    def is_own(self, request: web.Request) -> bool:
        """Whether a request comes from a page of ours: it has one Origin, which is ours."""
        given = request.headers.getall(hdrs.ORIGIN, [])
        if len(given) != 1:
            return False
        origin = given[0].lower()
        if self._public:
            return origin in self._public
        scheme, _, place = origin.partition("://")
        host = request.headers.get(hdrs.HOST, "").lower()
        port = DEFAULT_PORTS.get(scheme)
        return bool(port and host) and place.removesuffix(port or "") == host.removesuffix(
            port or ""
        )

    def is_preflight(self, request: web.Request) -> bool:
        """Whether a browser asks if a page of an allowed origin may send something."""
        asks = request.method == hdrs.METH_OPTIONS
        return (
            asks
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            and self._is_allowed(request)
        )

    def preflight(self) -> web.Response:
        """The answer to that; `headers` come on top."""
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_S,
            },
        )

    def headers(self, request: web.Request) -> dict[str, str]:
        """What any answer says to a browser about other origins' pages."""
        if not self._allowed:
            return {}
        if not self._is_allowed(request):
            return {hdrs.VARY: hdrs.ORIGIN}
        return {
            hdrs.VARY: hdrs.ORIGIN,
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: request.headers[hdrs.ORIGIN],
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: EXPOSED,
        }

    def _is_allowed(self, request: web.Request) -> bool:
        return request.headers.get(hdrs.ORIGIN, "") in self._allowed
