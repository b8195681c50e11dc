"""A peer: what a Python team would write first, FastAPI and redis-py, one XADD per request.

Run by uvicorn with uvloop and httptools, access log off, in an environment of its own.
"""

import uuid

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from redis.asyncio import Redis

from bench.peers.checks import QUEUE_PORT, verified

app = FastAPI()
queue = Redis(port=QUEUE_PORT)


@app.post("/api/v2/ingest")
async def ingest(request: Request) -> JSONResponse:
    """Check, append, answer."""
    body, headers = await request.body(), request.headers
    timestamp = headers.get("x-contox-timestamp", "")
    if not verified(timestamp, headers.get("x-contox-signature", ""), body):
        return JSONResponse({"error": "Unauthorized"}, 401)
    orjson.loads(body)
    event_id = "evt_" + uuid.uuid4().hex
    project = headers["x-contox-project"]
    await queue.xadd("ingest", {"id": event_id, "project": project, "body": body})
    return JSONResponse({"eventId": event_id, "sessionId": "sess_0"}, 202)
