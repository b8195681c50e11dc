"""An answer on the wire."""

import re

from core.usual_python import One
from gateway import answers
from gateway.answers import Answer, Kind
from gateway.render import closing, render, render_ones
from gateway.request_ids import request_ids

DIFFER, DATE = re.compile(rb"(?:req_\w+|Date: [^\r]+)"), re.compile(rb"Date: [^\r]+")


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


def test_ones() -> None:
    """Many answers to one event each are those that `render` makes one by one."""
    bodies = [b"{}", b'{"eventId":"a"}']
    ones: list[One] = [(None, "evt_1", body) for body in bodies]
    kind = answers.accepted_kind("memory")
    request_ids.renew()
    while True:  # until both fall into one second
        rendered = [render(Answer(kind, body), close=False) for body in bodies]
        together = render_ones("memory", ones)
        alike = [[DIFFER.sub(b"", one) for one in made] for made in (rendered, together)]
        if DATE.findall(rendered[0]) == DATE.findall(together[-1]):
            break
    assert alike[0] == alike[1]
    assert len(set(together)) == 2


def test_closing() -> None:
    """An answer that is rendered can still say that the connection will be closed."""
    answer = Answer(Kind(202, "accepted", {}), b"{}\r\n\r\n")
    open_, closed = render(answer, close=False), render(answer, close=True)
    lines = [sorted(DIFFER.sub(b"", one).split(b"\r\n")) for one in (closing(open_), closed)]
    assert lines[0] == lines[1]
