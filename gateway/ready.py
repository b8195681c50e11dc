"""Connections that something has arrived for, served together once all of it has been read.

A read is a system call, after which the processor has forgotten much of what it knew of our code:
serving each connection right behind its read took a third more time than serving them in a row.
"""

import asyncio
from typing import Protocol

from runtime.log import get_log

log = get_log()


class Served(Protocol):
    """Who has something to do."""

    def go_on(self) -> None:
        """Do what can be done now."""

    def abort(self) -> None:
        """Close the connection at once: there is a bug."""


class Ready:
    """Collects them until the loop's next turn; as many as there are connections, at most."""

    def __init__(self) -> None:
        self._waiting: list[Served] = []

    def add(self, served: Served) -> None:
        """Have it go on in a moment."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._serve)
        self._waiting.append(served)

    def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        for served in waiting:
            try:
                served.go_on()
            except Exception:  # said loudly, and no reason to leave the others waiting
                log.exception("a connection was not served")
                served.abort()
