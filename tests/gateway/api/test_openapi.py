"""The contract as a document: valid, complete, and of what the handlers really check."""

import re
from typing import Any

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from core.errors import Reason
from gateway.api.guard import Access, Guard, Operation
from gateway.api.openapi import PATH, document
from tests.gateway.api.conftest import People


async def shown(people: People) -> dict[str, Any]:
    """The document as anyone gets it."""
    reply = await people.ask("GET", PATH)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    content: dict[str, Any] = reply.json
    return content


async def test_document_is_valid(people: People) -> None:
    """It is OpenAPI 3.1 by the specification's own schema, with nothing that leads nowhere."""
    content = await shown(people)
    assert content["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(content).validate()


async def test_every_route_is_in_it(people: People) -> None:
    """Each method and path that the gateway serves is in the document, and no other."""
    app: web.Application = people.running.gateway.app()
    served = {(r.method, r.resource.canonical) for r in app.router.routes() if r.resource}
    written = {
        (method.upper(), path)
        for path, item in (await shown(people))["paths"].items()
        for method in item
    }
    assert written == {(method, path) for method, path in served if method != "HEAD"}
    assert len(written) > 10


async def test_operations_have_names_of_their_own(people: People) -> None:
    """No two operations have the same operationId."""
    names = [
        operation["operationId"]
        for item in (await shown(people))["paths"].values()
        for operation in item.values()
    ]
    assert len(set(names)) == len(names)


async def test_every_body_is_in_it(people: People) -> None:
    """A handler that reads a body is registered with its shape; any other reads none."""
    guard = Recorder()
    people.running.gateway.api.guard = guard  # type: ignore[assignment]
    people.running.gateway.api.routes()
    for operation, handler in guard.made:
        code = handler.__code__
        names = {*code.co_names, *code.co_freevars}
        reads = "json" in names or operation.path == "/api/auth/sign-in"
        assert reads == (operation.body is not None), operation
        if "json" in names and isinstance(operation.body, type):
            assert operation.body.__name__ in names, operation


class Recorder(Guard):
    """A Guard that keeps the handlers."""

    def __init__(self) -> None:
        self.made: list[tuple[Operation, Any]] = []

    def route(
        self,
        method: str,
        path: str,
        handler: Any,
        access: Access = Access.CALLER,
        **contract: Any,
    ) -> web.RouteDef:
        """Keep it."""
        self.made.append((Operation(method, path, access, **contract), handler))
        return web.route(method, path, handler)

    def open_route(self, method: str, path: str, handler: Any, **contract: Any) -> web.RouteDef:
        """Keep it."""
        self.made.append((Operation(method, path, **contract), handler))
        return web.route(method, path, handler)


class New(msgspec.Struct, rename="camel"):
    """A body."""

    first_name: str
    age: int | None = None


class Page(msgspec.Struct):
    """Query parameters."""

    sort: str
    limit: int = 5


def operation_of(**given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the operation, the components) that a route becomes."""
    made = document([Operation("POST", "/api/things/{id}", **given)])
    return made["paths"]["/api/things/{id}"]["post"], made["components"]["schemas"]


def test_shapes() -> None:
    """Body, query and answer are as the types say; names as they go over the wire."""
    made, schemas = operation_of(body=New, query=Page, answer=list[New], status=201)
    body = made["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/New"}
    assert schemas["New"]["required"] == ["firstName"]
    by_name = {parameter["name"]: parameter for parameter in made["parameters"]}
    assert {name: p["in"] for name, p in by_name.items()} == {
        "id": "path",
        "sort": "query",
        "limit": "query",
    }
    assert (by_name["sort"]["required"], by_name["limit"]["required"]) == (True, False)
    answer = made["responses"]["201"]["content"]["application/json"]["schema"]
    assert answer == {"type": "array", "items": {"$ref": "#/components/schemas/New"}}


def test_body_that_may_be_left_out() -> None:
    """`Shape | None` is a body that is not required."""
    made, _ = operation_of(body=New | None, status=204)
    assert made["requestBody"]["required"] is False
    assert "content" not in made["responses"]["204"]


def test_route_that_tells_nothing() -> None:
    """A route is in the document with its refusals though nothing is said of its shapes."""
    made, _ = operation_of(access=Access.USER)
    assert made["security"] == [{"bearer": []}, {"cookie": []}]
    assert made["responses"]["200"]["content"] == {"application/json": {"schema": {}}}
    assert {"400", "401", "403", "404", "429", "503"} <= made["responses"].keys()
    assert made["description"] == "For a user."


def test_open_route() -> None:
    """A route for anyone needs no credentials."""
    made = document([Operation("GET", "/api/things")])["paths"]["/api/things"]["get"]
    assert made["security"] == []
    assert "401" not in made["responses"]


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.code)
def test_codes(reason: Reason) -> None:
    """Every code of the closed table is one that an error may have."""
    assert (
        reason.code in document([])["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    )


async def test_everything_has_a_type(people: People) -> None:
    """Each answer with content says of what shape that is."""
    content = await shown(people)
    for path, item in content["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if path == PATH or "content" not in response:
                    continue
                for media, each in response["content"].items():
                    assert each["schema"], (path, status, media)
                    assert re.fullmatch(r"application/json|text/plain", media)
