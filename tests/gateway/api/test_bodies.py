"""A body that does not come; what else can be wrong with one is in test_guard.py."""

import asyncio

from tests.gateway.api.conftest import People
from tests.gateway.conftest import Start
from tests.raw_http import read_reply

HEAD = (
    b"POST /api/keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 20\r\nAuthorization: Bearer "
)


async def test_late_body(start: Start) -> None:
    """A body that does not arrive in time is a 408, and the connection ends."""
    people = People(await start(CONTOX_BODY_TIMEOUT_S="1"))
    ada = await people.add("ada")
    reader, writer = await asyncio.open_connection("127.0.0.1", people.running.gateway.port)
    writer.write(HEAD + ada.key.encode() + b'\r\n\r\n{"name":')
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert reply.headers["connection"] == "close"
    writer.close()


async def test_client_leaves(start: Start) -> None:
    """A client that leaves within its body does no harm: the next one is served, no key is made."""
    people = People(await start())
    ada = await people.add("ada")
    _, writer = await asyncio.open_connection("127.0.0.1", people.running.gateway.port)
    writer.write(HEAD + ada.key.encode() + b'\r\n\r\n{"name":')
    await writer.drain()
    writer.transport.abort()
    assert len((await people.ask("GET", "/api/keys", ada.bearer)).json) == 1
