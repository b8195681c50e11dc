"""Sends signed requests, and tries again where time can help.

Retried: no connection, 408, 429 and 5xx; doubling waits with full jitter, never shorter than
Retry-After. A retry is signed anew; it is harmless because every event has an id.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from random import random
from typing import Any, NamedTuple

import aiohttp
import orjson

from cli.errors import CliError
from core.auth import sign

MEMBERS = ("eventId", "accepted", "error", "code")  # one of them is in every answer of a gateway
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
WAIT_FIRST_S = 0.2
WAIT_MAX_S = 10.0
REQUEST_TIMEOUT_S = 30
SKEW_TOLD_S = 60


class Reply(NamedTuple):
    """A final answer of the gateway."""

    status: int
    content: dict[str, Any]
    durability: str


class Sender:
    """Signs for one project and posts to one gateway, over one connection pool."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        *,
        url: str,
        project: str,
        secret: str,
        retry_s: float,
        on_retry: Callable[[str], None],
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise CliError(f"The address {url!r} must begin with http:// or https://.")
        self._client = client
        self._url = url.rstrip("/") + "/api/v2/ingest"
        self._project = project
        self._secret = secret
        self._retry_s = retry_s
        self._on_retry = on_retry

    async def post(self, body: bytes, content_type: str) -> Reply:
        """Send until there is an answer that time does not change.

        Raises CliError when the credentials are refused, or `retry_s` seconds have passed.
        """
        give_up_s = time.monotonic() + self._retry_s
        wait_s = WAIT_FIRST_S
        while True:
            failure, retry_after_s, hint = "", 0.0, ""
            try:
                status, headers, content = await self._attempt(body, content_type)
            except ValueError as error:  # a line break in a header's value
                raise CliError(f"The request cannot be made: {error}") from None
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = f"no answer from {self._url}: {_reason(error)}"
                hint = "; does a gateway run there? CONTOX_URL says where to send"
            else:
                if status == 401:
                    raise CliError(_unauthorized(headers))
                if status not in RETRIED:
                    return Reply(status, content, headers.get("X-Contox-Durability", ""))
                failure = f"{status} {content.get('error', '')}"
                retry_after_s = _retry_after_s(headers)
            pause_s = max(retry_after_s, wait_s * random())  # noqa: S311 - jitter, not a secret
            if time.monotonic() + pause_s > give_up_s:
                raise CliError(f"Gave up after {self._retry_s:g} s of retries: {failure}{hint}")
            self._on_retry(f"{failure}; again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, WAIT_MAX_S)

    async def _attempt(
        self, body: bytes, content_type: str
    ) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        timestamp_s = int(time.time())
        headers = {
            "Content-Type": content_type,
            "X-Contox-Project": self._project,
            "X-Contox-Timestamp": str(timestamp_s),
            "X-Contox-Signature": sign(self._secret, timestamp_s=timestamp_s, body=body),
        }
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        async with self._client.post(
            self._url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            text = await answer.read()
        try:
            content = orjson.loads(text)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict) or content.keys().isdisjoint(MEMBERS):
            if answer.status == 202:
                raise CliError(f"{self._url} does not answer as a gateway does: {text[:80]!r}")
            content = {"error": f"not an answer of a gateway: {text[:80]!r}"}
        return answer.status, answer.headers, content


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds from a Retry-After header; 0 if there is none that is a number."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """Why there is no answer."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error)  # below 0: of names
    return str(error) or type(error).__name__


def _unauthorized(headers: Mapping[str, str]) -> str:
    """What to check after a 401; the gateway does not say which it was."""
    sentence = "The gateway refused the credentials: check project and secret."
    try:
        skew_s = time.time() - parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return sentence
    if abs(skew_s) < SKEW_TOLD_S:
        return sentence
    side = "ahead of" if skew_s > 0 else "behind"
    return f"{sentence} This machine's clock is {abs(skew_s):.0f} s {side} the gateway's."
