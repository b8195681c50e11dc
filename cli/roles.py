"""Single roles, for containers: `gateway`, `worker`; and what operators ask of them."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

import gateway.main
import worker.main
from cli.errors import CliError
from cli.output import print_json, print_table
from core.settings import PREFIX, Settings, masked, read, table, unknown
from runtime.log import configure, get_log

READ_ELSEWHERE = frozenset(PREFIX + name for name in ("URL", "PROJECT", "SECRET"))
Role = Callable[[Settings], Coroutine[Any, Any, None]]


def gateway_role() -> None:
    """Run a gateway: takes events over HTTP. Settings come from the environment."""
    _run("gateway", gateway.main.run)


def worker_role() -> None:
    """Run a worker: stores what the gateways have accepted. Settings come from the environment."""
    _run("worker", worker.main.run)


def _run(name: str, role: Role) -> None:
    settings = read(os.environ)
    configure(name, settings.log_level)
    log = get_log()
    for sentence in unknown(os.environ, READ_ELSEWHERE):
        log.warning(sentence)
    log.info("settings", **masked(settings))
    try:
        uvloop.run(role(settings))
    except OSError as error:
        raise CliError(f"The {name} cannot start: {error}") from None


def ready() -> None:
    """Exit with 0 if the gateway or worker on this host's ports is ready; for health checks."""
    settings = read(os.environ)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    for port in (settings.port, settings.worker_port):
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=3) as answer:
                sys.stdout.write(answer.read().decode() + "\n")
                return
        except urllib.error.HTTPError as error:
            raise CliError(error.read().decode()) from None
        except OSError:
            continue
    raise CliError(f"Nothing listens on {host} port {settings.port} or {settings.worker_port}.")


def settings(json: bool = False) -> None:
    """List every setting: variable, default, meaning."""
    rows = [(PREFIX + name.upper(), default, meta["help"]) for name, default, meta in table()]
    if json:
        print_json([{"variable": v, "default": d, "help": h} for v, d, h in rows])
    else:
        print_table(("variable", "default", "meaning"), rows, nothing="")
