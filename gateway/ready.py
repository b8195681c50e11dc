"""Connections that something has arrived for, served together once all of it has been read.

Between two system calls, and from one stage of a request to the next, the processor forgets what it
has learned of our code. So reads come first, then all requests are taken from their connections,
then all are begun, then all are appended: together that takes two thirds of the time of one after
the other.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from core.head import Head
from gateway.turn import Turn
from runtime.log import get_log

log = get_log()
BUG = "a connection was not served"


class Served(Protocol):
    """A connection."""

    turn: Turn  # of its requests

    def take(self) -> tuple["Served", Head, bytes] | None:
        """Itself, and the next request's head and body, if that is there and can be begun now."""

    def abort(self) -> None:
        """Close the connection at once: there is a bug."""


class Ready:
    """Collects them until the loop's next turn; as many as there are connections, at most."""

    def __init__(self) -> None:
        self._waiting: list[Served] = []
        self.usual: Callable[[list[Any]], list[Any]] = lambda taken: taken

    def add(self, served: Served) -> None:
        """Have it served in a moment."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._serve)
        self._waiting.append(served)

    def _left_by_usual(self, taken: list[Any]) -> list[Any]:
        try:
            return self.usual(taken)
        except Exception:  # a bug; it is not known which of them it has kept, to be answered
            log.exception(BUG)
            for served, *_ in taken:
                served.abort()
            return []

    def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        taken, begun = [], []
        for served in waiting:
            try:
                if request := served.take():
                    taken.append(request)
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception(BUG)
                served.abort()
        for served, head, body in self._left_by_usual(taken):
            try:
                if served.turn.begin(head, body):
                    begun.append(served)
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception(BUG)
                served.abort()
        for served in begun:
            try:
                served.turn.append()
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception(BUG)
                served.abort()
