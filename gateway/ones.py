"""Requests of one event each that are appended together, and answered together."""

from collections.abc import Callable, Iterator
from typing import Protocol

import hiredis

from core.codec import BODY, HEADER, Entry, decode
from core.errors import Unavailable
from core.ports import Receipt
from core.usual import Gathered
from gateway.admission import Admitted
from gateway.receipts import refuse_each


class Resumable(Receipt, Protocol):
    """The turn of a request; see gateway.turn."""

    def resume(self, admitted: Admitted, started_s: float) -> None:
        """Go on with a request that was admitted elsewhere; its append is under way."""


class Waiting(Protocol):
    """A connection whose request is not answered yet."""

    @property
    def turn(self) -> Resumable:
        """Of its requests."""

    def told(self, response: bytes, now_s: float) -> None:
        """Write the answer to its request. now_s: by the loop's clock."""

    def abort(self) -> None:
        """Close the connection at once: there is a bug."""


class Ones(Gathered):
    """The Bundle of them, in one partition."""

    __slots__ = ("_told", "started_s")

    def __init__(
        self,
        partition: int,
        *,
        started_s: float,
        told: Callable[["Ones", str], None],
    ) -> None:
        """started_s: when they were received, by time.perf_counter. told: answers them, appended
        with this durability."""
        super().__init__(partition)
        self.started_s = started_s
        self._told = told

    @property
    def entries(self) -> int:
        """See core.ports.Bundle."""
        return len(self.ones)

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        self._told(self, durability)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        refuse_each(self, error.reason)

    def each(self) -> Iterator[tuple[Entry, Receipt]]:
        """See core.ports.Bundle."""
        reader = hiredis.Reader()
        reader.feed(b"*%d\r\n" % (2 * len(self.ones)))
        reader.feed(bytes(self.wire))
        arguments = iter(reader.gets())
        for (waiting, event_id, _), header, body in zip(
            self.ones, arguments, arguments, strict=True
        ):
            entry = decode({HEADER: header, BODY: body})
            turn: Resumable = waiting.turn
            turn.resume(Admitted([event_id], [], entry), self.started_s)
            yield entry, turn
