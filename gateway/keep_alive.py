"""Closes a connection on which nothing has been asked for long."""

import asyncio
from collections.abc import Callable

KEEP_ALIVE_S = 75


class KeepAlive:
    """One timer for many requests: they move `since_s`, and it looks when it is due."""

    __slots__ = ("_close_if_idle", "_loop", "_timer", "since_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, close_if_idle: Callable[[], None]) -> None:
        self._loop = loop
        self._close_if_idle = close_if_idle
        self._timer: asyncio.TimerHandle | None = None
        self.since_s = loop.time()  # when something was last answered

    def start(self) -> None:
        """Look from now on, until `end`."""
        self._timer = self._loop.call_later(KEEP_ALIVE_S, self._look)

    def end(self) -> None:
        """Look no more; the timer would hold on to what has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left_s = self.since_s + KEEP_ALIVE_S - self._loop.time()
        if left_s <= 0:
            self._close_if_idle()
        self._timer = self._loop.call_later(max(left_s, 1), self._look)
