"""Reading a JSON body of the API: bounded in bytes and time, and of the shape that is asked for."""

import asyncio
from typing import Annotated, TypeVar

import msgspec
from aiohttp import ClientPayloadError, hdrs, web
from msgspec import Meta

from core.errors import Reason, Rejected
from core.users import NAME_MAX
from gateway.answers import JSON

BODY_BYTES_MAX = 64 << 10
Shape = TypeVar("Shape")
# A name, as handlers check it: blanks around it do not count.
Name = Annotated[
    str, Meta(extra_json_schema={"format": "printable", "minLength": 1, "maxLength": NAME_MAX})
]


async def read_json(request: web.Request, shape: type[Shape], *, timeout_s: float) -> Shape:
    """The body as a value of this shape; unknown members are ignored.

    Raises Rejected: unsupported_media_type, too_large, request_timeout, invalid_json, bad_request.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if request.content_type != JSON or encoding != "identity":
        raise Rejected(Reason.UNSUPPORTED_MEDIA_TYPE, "Send application/json, as it is")
    body = await _read(request, timeout_s)
    try:
        msgspec.json.decode(body.decode())  # a shape may be wrong before JSON is
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.BAD_REQUEST, f"The body is not as it should be: {error}") from None
    except (ValueError, RecursionError):  # hostile input is an answer, not a crash
        raise Rejected(Reason.INVALID_JSON) from None


async def _read(request: web.Request, timeout_s: float) -> bytes:
    too_large = Rejected(Reason.TOO_LARGE, f"The body is over {BODY_BYTES_MAX:,} bytes")
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise too_large
    except TimeoutError:
        raise Rejected(Reason.REQUEST_TIMEOUT) from None
    except (ConnectionError, ClientPayloadError):
        raise Rejected(Reason.BAD_REQUEST, "The body broke off") from None
    return bytes(body)
