"""Before a run: does the target answer, and does it take these credentials?

A signed empty batch is authenticated and then refused as empty, so the probe stores nothing.
"""

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from core.auth import sign
from loadtest.plan import Plan

TIMEOUT_S = 5.0
BYTES_MAX = 10_000


class ProbeError(Exception):
    """The run cannot begin; the text is one sentence that says what to check."""


def probe(plan: Plan, now_s: int) -> None:
    """Raises ProbeError if the target does not answer as a gateway that lets this producer in."""
    body = b"[]"
    headers = {
        "Content-Type": "application/json",
        "X-Contox-Project": plan.project,
        "X-Contox-Timestamp": str(now_s),
        "X-Contox-Signature": sign(plan.secret, timestamp_s=now_s, body=body),
    }
    request = Request(f"{plan.url}/api/v2/ingest", body, headers)  # noqa: S310 - the user's URL
    status, text = 200, b""
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
            text = answer.read(BYTES_MAX)
    except HTTPError as error:
        status, text = error.code, error.read(BYTES_MAX)
    except (OSError, HTTPException) as error:
        raise ProbeError(f"Nothing answers at {plan.url}: {error}.") from None
    if status == 401:
        raise ProbeError("The gateway refused the credentials: check project, secret and clock.")
    if status == 503:
        raise ProbeError(f"The gateway is not ready: {text.decode(errors='replace')}")
    try:
        code = msgspec.json.decode(text, type=dict[str, str]).get("code")
    except msgspec.DecodeError:
        code = None
    if code != "empty_batch":
        raise ProbeError(f"{plan.url} does not answer as a gateway does (status {status}).")
