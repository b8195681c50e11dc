"""Structured logs on standard error: JSON lines, or coloured text when a person is watching.

Nothing that is logged may grow with the number of hostile requests: what a client can cause is
logged through `Throttle`, once per interval and key, with the number of times it was held back.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

# structlog imports rich if it is there, only to format tracebacks: a role's start need not wait.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402

if sys.modules["rich"] is None:
    del sys.modules["rich"]

KEYS_MAX = 1_000


def configure(role: str, level: str) -> None:
    """Send this process's logs, and those of its libraries from `warning` on, to standard error."""
    watched = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if watched:
        renderer: Any = structlog.dev.ConsoleRenderer()  # which formats exceptions itself
    else:
        renderer = structlog.processors.JSONRenderer()
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(
            sys.stderr
        ),  # a line in one write: others write, too
    )
    structlog.contextvars.bind_contextvars(role=role)
    formatter = structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def tell_process(number: int) -> None:
    """Have each further line say which of a role's processes has logged it."""
    structlog.contextvars.bind_contextvars(process=number)


def get_log() -> Any:
    """The process's logger: `log.info("what happened", key=value)`."""
    return structlog.get_logger()


class Throttle:
    """Lets one log line per key through in each interval."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._next_s: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def held_back(self, key: str) -> int | None:
        """None: stay silent. Else how many lines of this key were held back since the last one."""
        now_s = self._clock()
        if now_s < self._next_s.get(key, 0):
            self._held[key] = self._held.get(key, 0) + 1
            return None
        if len(self._next_s) >= KEYS_MAX:
            self._next_s.clear()
            self._held.clear()
        self._next_s[key] = now_s + self._interval_s
        return self._held.pop(key, 0)
