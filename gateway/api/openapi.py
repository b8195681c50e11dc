"""GET /openapi.json: the contract (OpenAPI 3.1), made from what the handlers are registered with.

The Guard remembers each route with its access and its shapes, which are the types that bodies are
decoded into and answers are typed by; refusals are those of core/errors.py. So a new route is in
the document by being a route.
"""

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, get_args

import msgspec
import orjson
from aiohttp import web

from core.errors import Reason
from gateway.answers import JSON
from gateway.api.guard import Guard, Operation
from gateway.api.identity import COOKIE
from gateway.api.ingest_contract import SCHEMAS, SIGNED, Json, ingest, ref, status_pages

PATH = "/openapi.json"
TEMPLATE = "#/components/schemas/{name}"
ANYONE = (Reason.BAD_REQUEST, Reason.RATE_LIMITED, Reason.QUEUE_UNAVAILABLE)
KNOWN = (Reason.UNAUTHORIZED, Reason.FORBIDDEN)
OF_ONE = (Reason.NOT_FOUND, Reason.CONFLICT)
WITH_BODY = (Reason.REQUEST_TIMEOUT, Reason.TOO_LARGE, Reason.UNSUPPORTED_MEDIA_TYPE)
INGEST = (*ANYONE, *KNOWN, *WITH_BODY)
SECURITY_SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, contox_sk_…; for operators, the operator's token",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by signing in; what writes needs an Origin of the gateway's own, too",
    },
    **SIGNED,
}
ERROR: Json = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {
        "error": {"type": "string", "description": "A sentence for a person"},
        "code": {"enum": sorted({reason.code for reason in Reason})},
    },
}
STANDING: Json = {
    f"X-RateLimit-{name}": {"required": True, "schema": {"type": "integer", "minimum": 0}}
    for name in ("Limit", "Remaining", "Reset")
}
WAIT: Json = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}


class OpenApi:
    """The handler."""

    def __init__(self) -> None:
        self._text: bytes | None = None

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """The route, which shows all that are made by then, and itself."""

        async def show(_request: web.Request) -> web.Response:
            if self._text is None:
                self._text = orjson.dumps(document(guard.operations))
            return web.Response(body=self._text, content_type=JSON)

        return [guard.open_route("GET", PATH, show)]


def document(operations: Iterable[Operation]) -> Json:
    """The document of these operations, of ingest and of the status pages."""
    operations = list(operations)
    schemas, components = _schemas(operations)
    paths: Json = {**ingest(_refusals(INGEST)), **status_pages()}
    for operation in operations:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "contox-ingest", "version": version("contox-ingest")},
        "paths": paths,
        "components": {
            "schemas": {**components, **SCHEMAS, "Error": ERROR},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Json], Json]:
    """(the schema of each type, what the schemas refer to)."""
    types = [t for o in operations for t in (o.body, o.query, o.answer) if t is not None]
    shapes = [*dict.fromkeys(map(_shape, types))]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=TEMPLATE)
    return dict(zip(shapes, schemas, strict=True)), components


def _shape(shape: Any) -> Any:
    """The type without its `| None`."""
    own = [part for part in get_args(shape) if part is not type(None)]
    return own[0] if type(None) in get_args(shape) else shape


def _operation(operation: Operation, schemas: dict[Any, Json]) -> Json:
    made: Json = {
        "operationId": _name(operation),
        "security": [] if operation.access is None else [{"bearer": []}, {"cookie": []}],
        "parameters": [*_in_path(operation), *_in_query(operation)],
        "responses": {
            **_successes(operation, schemas),
            **_refusals(_reasons(operation)),
        },
    }
    if operation.access is not None:
        made["description"] = f"For {operation.access.value}."
    if operation.body is not None:
        made["requestBody"] = {
            "required": type(None) not in get_args(operation.body),
            "content": {JSON: {"schema": schemas[_shape(operation.body)]}},
        }
    return made


def _name(operation: Operation) -> str:
    """Such as getProjectsIdLedger."""
    words = re.findall(r"[a-z0-9]+", operation.path.removeprefix("/api/").lower())
    return operation.method.lower() + "".join(word.capitalize() for word in words)


def _in_path(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _in_query(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    _, components = msgspec.json.schema_components([operation.query], ref_template=TEMPLATE)
    (shape,) = components.values()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in shape["required"],
            "schema": schema if name in shape["required"] else _or_empty(schema),
        }
        for name, schema in shape["properties"].items()
    ]


def _or_empty(schema: Json) -> Json:
    """What may be left out may be empty, numbers aside."""
    return schema if schema.get("type") == "integer" else {"anyOf": [schema, {"const": ""}]}


def _successes(operation: Operation, schemas: dict[Any, Json]) -> Json:
    given = operation.status
    statuses = given if isinstance(given, tuple) else (given,)
    return {str(status): _success(operation, status, schemas) for status in statuses}


def _success(operation: Operation, status: int, schemas: dict[Any, Json]) -> Json:
    made: Json = {"description": "Done" if status != 202 else "Begun"}
    made["headers"] = STANDING
    if status != 204:
        made["content"] = {JSON: {"schema": schemas.get(operation.answer, {})}}
    return made


def _reasons(operation: Operation) -> tuple[Reason, ...]:
    """Why it may refuse."""
    reasons: tuple[Reason, ...] = ANYONE
    if operation.access is not None or operation.body is not None:  # to sign in is refused, too
        reasons += KNOWN
    if operation.body is not None:
        reasons += WITH_BODY
    if operation.body is not None or operation.query is not None or "{" in operation.path:
        reasons += OF_ONE
    return reasons


def _refusals(reasons: Iterable[Reason]) -> Json:
    return {
        str(reason.status): {
            "description": reason.sentence,
            "content": {JSON: {"schema": ref("Error")}},
            **({"headers": WAIT} if reason.status in (429, 503) else {}),
        }
        for reason in reasons
    }
