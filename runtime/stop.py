"""Stopping in order: SIGTERM and SIGINT set an event that a role waits for."""

import asyncio
import signal


def stop_event(*, patient: bool = False) -> asyncio.Event:
    """An event that the process's first SIGTERM or SIGINT sets; a second one ends the process.

    patient: it does not, since a parent passes signals on that may have reached the child before.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set() and not patient:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
