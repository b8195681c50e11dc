"""The roles as commands, `gateway` and `worker`; and what operators ask of them."""

import os
import socket
import sys
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Literal

import typer

from cli import serve
from cli.errors import CliError
from cli.options import Json
from cli.output import print_json, print_table
from core.settings import PREFIX, read, table

READY_TIMEOUT_S = 3
READY_BYTES_MAX = 2_000
RoleName = Annotated[
    Literal["gateway", "worker"] | None,
    typer.Argument(help="Which to ask, where both share a host; else whichever answers."),
]
Processes = Annotated[
    str | None,
    typer.Option(metavar="N", help="Processes that share the port (CONTOX_PROCESSES)."),
]
Uds = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="Unix socket to listen on (CONTOX_UDS)."),
]


def gateway_role(processes: Processes = None, uds: Uds = None) -> None:
    """Run a gateway: takes events over HTTP. Settings come from the environment."""
    serve.gateway(processes, uds)


def worker_role() -> None:
    """Run a worker: stores what the gateways have accepted. Settings come from the environment."""
    serve.worker()


def ready(role: RoleName = None) -> None:
    """Exit with 0 if the gateway or worker on this host's ports is ready; for health checks."""
    settings = read(os.environ)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    unix = settings.uds if settings.port is None else ""
    asked = {"gateway": settings.port, "worker": settings.worker_port}
    for name in [role] if role else list(asked):
        port = asked[name]
        try:
            status, text = _readyz(host, port) if port is not None else _readyz(unix)
        except (OSError, HTTPException):
            continue
        if status != 200:
            raise CliError(f"Not ready: {text}")
        sys.stdout.write(text + "\n")
        return
    ports = [str(asked[name]) for name in ([role] if role else asked) if asked[name] is not None]
    places = [f"{host} port {' or '.join(ports)}"] if ports else []
    places += [unix] if unix and role != "worker" else []
    raise CliError(f"Nothing listens on {' or on '.join(places)}.")


def _readyz(host: str, port: int | None = None) -> tuple[int, str]:
    """(status, text) of a role's page; without a port, `host` is the path of a Unix socket. Raises
    OSError, HTTPException."""
    connection = HTTPConnection(host, port, timeout=READY_TIMEOUT_S)
    try:
        if port is None:
            connection.host = "localhost"
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(READY_TIMEOUT_S)
            connection.sock.connect(host)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(READY_BYTES_MAX).decode(errors="replace")
    finally:
        connection.close()


def settings(json: Json = False) -> None:
    """List every setting: variable, default, meaning."""
    rows = [(PREFIX + name.upper(), default, meta["help"]) for name, default, meta in table()]
    if json:
        print_json([{"variable": v, "default": d, "help": h} for v, d, h in rows])
    else:
        print_table(("variable", "default", "meaning"), rows, nothing="")
