"""One connection of the sender: it carries one request at a time, and reads its response.

Responses are read by hand, since a parser's callbacks would cost more than all the rest: a status,
a length, and whether the server will close are all that is wanted. What is cheap counts here: a
sender that is busy takes long to make up for a pause of the machine, and measures itself.
"""

import asyncio
import re
import time
from typing import Protocol, cast

import msgspec

from loadtest.requests import Request

CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE).search
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE).search
LAST = b"\r\nContent-Length: "  # the last line of our gateway's heads, found without LENGTH


class Job:
    """A request from falling due to its final answer."""

    __slots__ = ("attempts", "due_s", "request")

    def __init__(self, due_s: float, request: Request) -> None:
        self.due_s = due_s
        self.request = request
        self.attempts = 0


class Reply(msgspec.Struct, gc=False):
    """The first response in some bytes."""

    status: int
    body: bytes
    used: int  # bytes of it
    closes: bool  # the server ends the connection after it


def split_reply(data: bytes) -> Reply | None:
    """The first response in `data`; None while it is incomplete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    length = _length(head)
    if len(rest) < length:
        return None
    used = len(head) + len(end) + length
    closes = b"close" in head and CLOSES(head) is not None
    return Reply(int(head[9:12]), rest[:length], used, closes)


def _length(head: bytes) -> int:
    """Of the body behind this head."""
    at = head.rfind(LAST)
    digits = head[at + len(LAST) :]
    if at >= 0 and digits.isdigit():
        return int(digits)
    found = LENGTH(head)
    return int(found[1]) if found else 0


class Owner(Protocol):
    """Who is told what becomes of a connection's jobs."""

    def on_idle(self, connection: "Connection") -> None:
        """It can take a job."""

    def on_reply(self, connection: "Connection", job: Job, reply: Reply) -> None:
        """Its job has an answer."""

    def on_lost(self, connection: "Connection", job: Job | None) -> None:
        """It has ended, perhaps with a job that has no answer."""


class Connection(asyncio.Protocol):
    """One connection, and the job whose answer it waits for."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self.job: Job | None = None
        self.sent_s = 0.0
        self.retired = False  # the server has said that it will close it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._owner.on_idle(self)

    def send(self, job: Job) -> None:
        """Write a job's request."""
        assert self._transport is not None
        self.job = job
        self.sent_s = time.perf_counter()
        self._transport.write(job.request.raw)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._data:
            data = self._data + data
        reply = split_reply(data)
        if reply is None:
            self._data = data
            return
        self._data = data[reply.used :]
        job, self.job = self.job, None
        if job is not None:
            self._owner.on_reply(self, job, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        job, self.job = self.job, None
        self._owner.on_lost(self, job)

    def retire(self) -> None:
        """Close a connection that the server will close too; that is no error."""
        self.retired = True
        self.abort()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()
