"""Running a single role, `gateway` or `worker`: what containers start.

Imports what a role needs and no more, for one that is started again should not be long.
"""

import gc
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from cli.errors import CliError
from core.settings import PREFIX, SettingError, Settings, masked, read, unknown
from runtime.log import configure, get_log, tell_process

READ_ELSEWHERE = frozenset(
    PREFIX + name for name in ("URL", "PROJECT", "SECRET", "API_KEY", "DATA_DIR")
)


def gateway(processes: str | None = None, uds: str | None = None) -> None:
    """Run a gateway with the environment's settings, and those given, until it is told to stop."""
    with _importing():
        from gateway.main import run  # noqa: PLC0415 - each role imports its own
        from gateway.processes import Place, count_of, run_all  # noqa: PLC0415
        from runtime.processes import StartError  # noqa: PLC0415

    settings = _start("gateway", {"CONTOX_PROCESSES": processes, "CONTOX_UDS": uds})
    count = count_of(settings)
    if count == 1:
        _run("gateway", run(settings))
        return

    def child(own: Settings, place: Place, works: Callable[[], None]) -> None:
        tell_process(place.number)
        _run("gateway", run(own, place, works))

    with _told("gateway"):
        try:
            status = run_all(settings, count, child, (CliError, SettingError))
        except StartError as error:
            raise CliError(str(error)) from None
    sys.exit(status)


def worker() -> None:
    """Run a worker with the environment's settings, until it is told to stop."""
    with _importing():
        from worker.main import run  # noqa: PLC0415

    _run("worker", run(_start("worker", {})))


@contextmanager
def _importing() -> Iterator[None]:
    """No search for garbage meanwhile; later ones pass by what was imported, which leaves it in the
    memory that forked processes share."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _start(name: str, given: dict[str, str | None]) -> Settings:
    """The settings, with what the command line says in place of the environment; and the log."""
    environ = {**os.environ, **{k: v for k, v in given.items() if v is not None}}
    settings = read(environ)
    configure(name, settings.log_level)
    log = get_log()
    for sentence in unknown(environ, READ_ELSEWHERE):
        log.warning(sentence)
    log.info("settings", **masked(settings))
    return settings


def _run(name: str, role: Coroutine[Any, Any, None]) -> None:
    with _told(name):
        uvloop.run(role)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """A failure to listen as a sentence."""
    try:
        yield
    except OSError as error:
        raise CliError(
            f"The {name} cannot start: {error}; are CONTOX_HOST, CONTOX_PORT and"
            " CONTOX_WORKER_PORT right?"
        ) from None
