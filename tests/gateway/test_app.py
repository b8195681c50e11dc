"""What every response carries, and what becomes of a bug."""

import pytest

from tests.gateway.conftest import Running
from tests.raw_http import PATH, Producer, exchange

FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "server": "contox-ingest",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/no"), ("GET", PATH)],
)
async def test_fixed_headers(producer: Producer, method: str, path: str) -> None:
    """Every response has the fixed headers and an id of its own."""
    replies = [await producer.post(b"", method=method, path=path) for _ in range(2)]
    for reply in replies:
        assert FIXED.items() <= reply.headers.items()
    assert replies[0].headers["x-request-id"] != replies[1].headers["x-request-id"]


async def test_ready(running: Running) -> None:
    """A gateway that is connected is alive and ready."""
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        reply = await exchange(running.gateway.port, request)
        assert (reply.status, reply.json["status"]) == (200, status)


async def test_leaving(running: Running) -> None:
    """A gateway that stops is not ready, still accepts, and sends its clients elsewhere."""
    running.gateway.connections.leaving = True
    request = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = await exchange(running.gateway.port, request)
    assert (reply.status, reply.json["missing"]) == (503, ["The gateway is shutting down"])
    reply = await running.producer.post()
    assert (reply.status, reply.headers["connection"]) == (202, "close")


async def test_bug(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is a 500 in the contract's words, its traceback is in the log and not in the answer."""

    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a detail")

    monkeypatch.setattr(running.gateway.admission, "check_now", lambda *_: None)
    monkeypatch.setattr(running.gateway.admission, "check", broken)
    reply = await running.producer.post()
    assert (reply.status, reply.json["code"]) == (500, "internal_error")
    assert b"detail" not in reply.body
    assert "ZeroDivisionError" in "".join(capsys.readouterr())
