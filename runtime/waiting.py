"""Waiting at the start for what is not up yet, without being deaf to a stop."""

import asyncio
from collections.abc import Callable

from runtime.log import Throttle, get_log

log = get_log()


def told(what: str, stop: asyncio.Event) -> Callable[[str], None]:
    """What to call before each wait: it logs the reason now and then, and ends the process in order
    (SystemExit, status 0) once `stop` is set."""
    throttle = Throttle(10)

    def on_wait(reason: str) -> None:
        if stop.is_set():
            raise SystemExit(0)
        if throttle.held_back(what) is not None:
            log.warning("waiting", what=what, reason=reason)

    return on_wait
