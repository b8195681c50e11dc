"""An answer on the wire."""

from gateway.answers import Answer, Kind
from gateway.render import render


def test_render() -> None:
    """Status, the answer's headers and those that each answer has, its length, and its body."""
    answer = Answer(Kind(429, "x", {"Retry-After": "2"}), b"{}")
    head, _, body = render(answer, close=True).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    found = dict(header.split(": ", 1) for header in headers)
    assert first == "HTTP/1.1 429 Too Many Requests"
    assert body == b"{}"
    assert found["Retry-After"] == "2"
    assert found["Content-Type"] == "application/json"
    assert found["Content-Length"] == "2"
    assert found["Connection"] == "close"
    assert found["X-Request-Id"].startswith("req_")
    assert found["Date"].endswith(" GMT")
    assert found["X-Content-Type-Options"] == "nosniff"
    assert b"Connection" not in render(answer, close=False)
