"""Single roles, for containers: `gateway`, `worker`; and what operators ask of them."""

import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import typer
import uvloop

from cli.errors import CliError
from cli.options import Json
from cli.output import print_json, print_table
from core.settings import PREFIX, Settings, masked, read, table, unknown
from runtime.log import configure, get_log

READ_ELSEWHERE = frozenset(PREFIX + name for name in ("URL", "PROJECT", "SECRET", "DATA_DIR"))
READY_TIMEOUT_S = 3
READY_BYTES_MAX = 2_000
RoleName = Annotated[
    Literal["gateway", "worker"] | None,
    typer.Argument(help="Which to ask, where both share a host; else whichever answers."),
]
Role = Callable[[Settings], Coroutine[Any, Any, None]]


def gateway_role() -> None:
    """Run a gateway: takes events over HTTP. Settings come from the environment."""
    from gateway.main import run  # noqa: PLC0415 - each role imports its own

    _run("gateway", run)


def worker_role() -> None:
    """Run a worker: stores what the gateways have accepted. Settings come from the environment."""
    from worker.main import run  # noqa: PLC0415

    _run("worker", run)


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
        raise CliError(
            f"The {name} cannot start: {error}; are CONTOX_HOST, CONTOX_PORT and"
            " CONTOX_WORKER_PORT right?"
        ) from None


def ready(role: RoleName = None) -> None:
    """Exit with 0 if the gateway or worker on this host's ports is ready; for health checks."""
    settings = read(os.environ)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    ports = {"gateway": settings.port, "worker": settings.worker_port}
    asked = [ports[role]] if role else list(ports.values())
    opener = build_opener(ProxyHandler({}))  # a proxy would answer for somebody else
    for port in asked:
        try:
            with opener.open(f"http://{host}:{port}/readyz", timeout=READY_TIMEOUT_S) as answer:
                sys.stdout.write(answer.read(READY_BYTES_MAX).decode() + "\n")
                return
        except HTTPError as error:
            text = error.read(READY_BYTES_MAX).decode(errors="replace")
            raise CliError(f"Not ready: {text}") from None
        except OSError:
            continue
    raise CliError(f"Nothing listens on {host} port {' or '.join(map(str, asked))}.")


def settings(json: Json = False) -> None:
    """List every setting: variable, default, meaning."""
    rows = [(PREFIX + name.upper(), default, meta["help"]) for name, default, meta in table()]
    if json:
        print_json([{"variable": v, "default": d, "help": h} for v, d, h in rows])
    else:
        print_table(("variable", "default", "meaning"), rows, nothing="")
