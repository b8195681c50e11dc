"""`contox-ingest up`: the whole stack on this machine, in one command."""

import asyncio
import json
import os
import shlex
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import aiohttp
import typer
import uuid_utils

from cli.accounts import open_accounts
from cli.datadir import DataDir, default_dir, write_private
from cli.embedded import embedded_queue, free_port
from cli.errors import CliError
from cli.supervisor import Part, Supervisor, script
from cli.user_accounts import FirstAdmin, open_users
from core.settings import read
from runtime.log import configure
from runtime.stop import stop_event

DEMO = "demo"
Host = Annotated[str, typer.Option(envvar="CONTOX_HOST", help="Address to listen on.")]
Port = Annotated[
    int,
    typer.Option(
        envvar="CONTOX_PORT", help="Port to listen on; 0 takes a free one.", min=0, max=65535
    ),
]
Directory = Annotated[
    Path | None, typer.Option(envvar="CONTOX_DATA_DIR", help="Where everything is kept.")
]
ReadyFile = Annotated[
    Path | None,
    typer.Option(
        help="Written once events are accepted, as JSON: url, projectId, hmacSecret, and at the"
        " first start apiKey."
    ),
]


class Welcome(NamedTuple):
    """What a newcomer needs to send the first event."""

    url: str
    project_id: str
    secret: str
    admin: FirstAdmin | None  # at the first start


def up(
    host: Host = "127.0.0.1",
    port: Port = 8080,
    data_dir: Directory = None,
    ready_file: ReadyFile = None,
) -> None:
    """Run queue, gateway, worker and store on this machine, until Ctrl-C."""
    level = os.environ.get("CONTOX_LOG_LEVEL") or "warning"
    configure("up", level)
    directory = DataDir(data_dir or default_dir(os.environ))
    environ = {
        **os.environ,
        **directory.environ(),
        "CONTOX_HOST": host,
        "CONTOX_PORT": str(_check_port(host, port)),
        "CONTOX_LOG_LEVEL": level,
        "CONTOX_PROCESSES": os.environ.get("CONTOX_PROCESSES") or "1",  # it has a machine to share
    }
    read(environ)  # a wrong setting stops the start before anything is made
    directory.create()
    with directory.lock():
        directory.stack.unlink(missing_ok=True)  # of an `up` that was killed
        if ready_file:
            _remove_ready_file(ready_file)
        try:
            environ |= directory.environ()
            if not environ.get("CONTOX_OPERATOR_TOKEN"):
                environ["CONTOX_OPERATOR_TOKEN"] = directory.operator_token()
            asyncio.run(_run(directory, environ, ready_file))
        finally:
            directory.stack.unlink(missing_ok=True)
            if ready_file:
                _remove_ready_file(ready_file)


async def _run(directory: DataDir, environ: dict[str, str], ready_file: Path | None) -> None:
    stop = stop_event()
    supervisor = Supervisor()
    if sys.stderr.isatty():
        sys.stderr.write("Starting queue, gateway and worker ...\n")
    try:
        welcome = await _start(directory, environ, supervisor)
        if ready_file:
            try:
                _write_ready_file(ready_file, welcome)
            except CliError:
                _print(*_of_admin(welcome.admin))  # who is made by now, and shown this once
                raise
        _print_welcome(welcome, directory)
        await stop.wait()
        sys.stderr.write("Stopping; what has been accepted is kept.\n")
    finally:
        await supervisor.stop()


async def _start(directory: DataDir, environ: dict[str, str], supervisor: Supervisor) -> Welcome:
    """Start the parts in order, each when the one before is ready."""
    queue, redis_url = embedded_queue(directory)
    await supervisor.start(queue)
    environ["CONTOX_REDIS_URL"] = redis_url
    environ["CONTOX_WORKER_PORT"] = str(free_port())
    environ["CONTOX_WORKER_NAME"] = "worker"
    project_id, secret = await _demo_project(environ)
    url = local_url(environ["CONTOX_HOST"], environ["CONTOX_PORT"])
    worker_url = local_url(environ["CONTOX_HOST"], environ["CONTOX_WORKER_PORT"])
    await asyncio.gather(
        supervisor.start(Part("gateway", script("gateway"), environ, lambda: _is_ready(url))),
        supervisor.start(Part("worker", script("worker"), environ, lambda: _is_ready(worker_url))),
    )
    stack = {"url": url, "workerUrl": worker_url, "redisUrl": redis_url, "pid": os.getpid()}
    write_private(directory.stack, json.dumps(stack).encode())
    async with open_users(environ) as users:
        admin = await users.first_admin()  # last: a start that fails has shown it to nobody
    return Welcome(url, project_id, secret, admin)


async def _demo_project(environ: dict[str, str]) -> tuple[str, str]:
    """(id, secret) of the project `demo`, made at the first start."""
    async with open_accounts(environ) as accounts:
        if project := await accounts.nobodys(DEMO):
            return project.id, await accounts.secret(project.id)
        project, secret = await accounts.create(DEMO)
        return project.id, secret


async def _is_ready(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=1)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"{url}/readyz") as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _check_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises CliError if it cannot be listened on."""
    if port == 0:
        return free_port()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CliError(
                f"Cannot listen on {host} port {port}: {error.strerror};"
                " choose another with --port."
            ) from None
    return port


def local_url(host: str, port: str) -> str:
    """How this machine reaches a listener."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _remove_ready_file(path: Path) -> None:
    """Nobody may take an old one for ours. Raises CliError if there could be none at this path."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"The ready file {path} cannot be written: {error.strerror}.") from None


def _write_ready_file(path: Path, welcome: Welcome) -> None:
    content = {
        "url": welcome.url,
        "projectId": welcome.project_id,
        "hmacSecret": welcome.secret,
        "apiKey": welcome.admin.api_key if welcome.admin else None,  # it is kept nowhere
    }
    try:
        write_private(path, json.dumps(content).encode() + b"\n")
    except OSError as error:
        raise CliError(f"The ready file {path} cannot be written: {error.strerror}.") from None


def _print_welcome(welcome: Welcome, directory: DataDir) -> None:
    command = _command()
    elsewhere = directory.path != default_dir(os.environ) or "CONTOX_DATABASE_URL" in os.environ
    where = f" --data-dir {shlex.quote(str(directory.path))}" if elsewhere else ""
    send = (
        f"{command} send --url {welcome.url} --project {welcome.project_id}"
        f""" --secret {welcome.secret} session_save '{{"summary": "hello"}}'"""
    )
    _print(
        f"contox-ingest accepts events. Ctrl-C stops it; the data stays in {directory.path}",
        f"  URL      {welcome.url}\n"
        f"  project  {welcome.project_id}  (name: {DEMO})\n"
        f"  secret   {welcome.secret}",
        *_of_admin(welcome.admin),
        "For the examples of the documentation:",
        f"  export CONTOX_URL={welcome.url} CONTOX_PROJECT={welcome.project_id}"
        f" CONTOX_SECRET={welcome.secret}"
        f"{f' CONTOX_DATA_DIR={shlex.quote(str(directory.path))}' if elsewhere else ''}",
        "Send an event:",
        f"  {send}",
        "The same with curl and openssl:",
        f"  {_curl(welcome)}",
        "See what is stored:",
        f"  {command} events --project {DEMO}{where}",
    )


def _print(*sections: str) -> None:
    if sections:
        sys.stdout.write("\n" + "\n\n".join(sections) + "\n\n")
        sys.stdout.flush()


def _of_admin(admin: FirstAdmin | None) -> tuple[str, ...]:
    if admin is None:
        return ()
    return (
        "An admin, and an API key of theirs; both are shown this once:",
        f"  email    {admin.email}\n  password {admin.password}\n  API key  {admin.api_key}",
    )


def _curl(welcome: Welcome) -> str:
    """One line that signs and sends; its event has an id, so that sending it again adds nothing."""
    body = json.dumps(
        {
            "id": str(uuid_utils.uuid7()),
            "event": "session_save",
            "payload": {"summary": "hello from curl"},
        }
    )
    return (
        f"""body='{body}'; timestamp=$(date +%s); """
        f"""curl -sS {welcome.url}/api/v2/ingest -H 'Content-Type: application/json' """
        f"""-H 'X-Contox-Project: {welcome.project_id}' -H "X-Contox-Timestamp: $timestamp" """
        f"""-H "X-Contox-Signature: sha256=$(printf '%s.%s' "$timestamp" "$body" | """
        f"""openssl dgst -sha256 -hmac '{welcome.secret}' -r | cut -d' ' -f1)" """
        """--data-binary "$body\""""
    )


def _command() -> str:
    """How the person who started us can call the command again."""
    if shutil.which("contox-ingest"):
        return "contox-ingest"
    path = Path(script("")[1])
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(str(near))
