"""A peer: aiohttp and redis-py on uvloop, one XADD per request; access log off."""

import uuid

import orjson
import uvloop
from aiohttp import web
from redis.asyncio import Redis

from bench.peers.checks import PORT, QUEUE_PORT, verified

queue = Redis(port=QUEUE_PORT)


async def ingest(request: web.Request) -> web.Response:
    """Check, append, answer."""
    body, headers = await request.read(), request.headers
    timestamp = headers.get("X-Contox-Timestamp", "")
    if not verified(timestamp, headers.get("X-Contox-Signature", ""), body):
        return web.json_response({"error": "Unauthorized"}, status=401)
    orjson.loads(body)
    event_id = "evt_" + uuid.uuid4().hex
    project = headers["X-Contox-Project"]
    await queue.xadd("ingest", {"id": event_id, "project": project, "body": body})
    return web.json_response({"eventId": event_id, "sessionId": "sess_0"}, status=202)


def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_post("/api/v2/ingest", ingest)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
