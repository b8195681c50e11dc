"""The peers: how each is prepared and started, and what it is for.

A peer whose toolchain is missing is named as missing in the table, with the reason; it is never
left out in silence. What a peer needs is made once, in build/, from locked versions.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.load import Sender
from bench.machine import SERVER
from bench.processes import running
from bench.queue_server import Queue
from bench.servers import Server
from cli.embedded import free_port

ROOT = Path(__file__).parent.parent
BUILD, PEERS = ROOT / "build", Path(__file__).with_name("peers")
LOCK = ROOT / "requirements/bench.lock"
GOPATH = Path("/usr/share/gocode")  # Debian's Go libraries
PACKAGES = ("aiohttp", "fastapi", "redis", "uvicorn", "uvloop")
PREPARE_S = 600
STREAM = "ingest"
SENDER = Sender("proj_bench", "whsec_0123456789abcdef0123456789abcdef")


class Missing(Exception):
    """What a peer needs and is not there, and how to get it."""


class Peer(NamedTuple):
    """A server to compare with. `command`: what starts it; raises Missing."""

    name: str
    command: Callable[[Path, int], list[str]]  # of a directory of its own, and its port
    checks: bool = True  # signature and timestamp
    appends: bool = True


def floor(_directory: Path, _port: int) -> list[str]:
    """Needs nothing but what the project needs."""
    return [sys.executable, "-m", "bench.peers.floor"]


def aiohttp(_directory: Path, _port: int) -> list[str]:
    """Needs nothing but what the project needs."""
    return [sys.executable, "-m", "bench.peers.aiohttp_app"]


def fastapi(_directory: Path, port: int) -> list[str]:
    """Needs the packages of the extra `bench`, in a virtual environment of its own."""
    venv = BUILD / "bench-venv"
    python = str(venv / "bin/python")
    if _stale(venv, LOCK):
        prepare("FastAPI", [sys.executable, "-m", "venv", str(venv)])
        pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        prepare("FastAPI", [*pip, "--requirement", str(LOCK)])
        _fresh(venv)
    app = ["bench.peers.fastapi_app:app", "--port", str(port)]
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    return [python, "-m", "uvicorn", *app, *options, "--log-level", "warning"]


def fastify(_directory: Path, _port: int) -> list[str]:
    """Needs Node.js and npm."""
    _need("node", "nodejs")
    _need("npm", "npm")
    source, place = PEERS / "fastify", BUILD / "bench-node"
    if _stale(place, source / "package-lock.json"):
        shutil.copytree(source, place, dirs_exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--silent", "--ignore-scripts"]
        prepare("Fastify", ["npm", "ci", "--prefix", str(place), *quiet])
        _fresh(place)
    shutil.copy(source / "server.js", place)
    return ["node", str(place / "server.js")]


def go(mode: str) -> Callable[[Path, int], list[str]]:
    """Needs Go, and redigo as Debian packages it; compiled each time, which a cache makes quick."""

    def command(_directory: Path, _port: int) -> list[str]:
        _need("go", "golang-go")
        if not (GOPATH / "src/github.com/gomodule/redigo").is_dir():
            raise Missing("no redigo: apt-get install golang-github-gomodule-redigo-dev")
        program = BUILD / "bench-go"
        environ = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": f"{BUILD}/bench-gocache"}
        prepare("Go", ["go", "build", "-o", str(program), str(PEERS / "go/main.go")], environ)
        return [str(program), mode]

    return command


def nginx(directory: Path, port: int) -> list[str]:
    """Needs nginx; reads, checks and appends nothing."""
    _need("nginx", "nginx-light")
    text = (PEERS / "nginx.conf").read_text().replace("PORT", str(port))
    (directory / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(directory), "-c", "nginx.conf"]


PEERS_OF_THE_TABLE = (
    Peer("floor: uvloop + XADD", floor, checks=False),
    Peer("Go net/http + redigo, group commit", go("group")),
    Peer("Go net/http + redigo, pool", go("pool")),
    Peer("Fastify + ioredis", fastify),
    Peer("aiohttp + redis-py", aiohttp),
    Peer("FastAPI + uvicorn + redis-py", fastapi),
    Peer("nginx, a fixed 202", nginx, checks=False, appends=False),
)


def packages() -> dict[str, str]:
    """The versions of what the peers are made of, as their lock files have them."""
    locked = dict(re.findall(r"^([a-z-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    node: dict[str, str] = json.loads((PEERS / "fastify/package.json").read_text())["dependencies"]
    return {name: locked[name] for name in PACKAGES} | node


def prepare(name: str, command: list[str], environ: Mapping[str, str] | None = None) -> None:
    """Run one step of making a peer. Raises Missing with its last words if it fails."""
    BUILD.mkdir(exist_ok=True)
    try:
        subprocess.run(
            command,
            env={**os.environ, **(environ or {})},
            check=True,
            capture_output=True,
            timeout=PREPARE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else str(error)
        raise Missing(f"{name} cannot be prepared: {last[:200]}") from None


@contextmanager
def started(peer: Peer, queue: Queue) -> Iterator[Server]:
    """The peer, running. Raises Missing, BenchError."""
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        port = free_port()
        command = peer.command(Path(directory), port)
        environ = {
            "BENCH_PORT": str(port),
            "BENCH_QUEUE_PORT": str(queue.port),
            "BENCH_SECRET": SENDER.secret,
            "GOMAXPROCS": "1",
            "NODE_ENV": "production",
            "PYTHONPATH": str(ROOT),
        }
        with running(SERVER, command, environ=environ, port=port) as pid:
            yield Server(port, pid, STREAM, [SENDER])


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        raise Missing(f"no {program}: apt-get install {package}")


def _stale(place: Path, lock: Path) -> bool:
    """Whether what is in `place` was not made from this lock file."""
    mark = place / ".done"
    return not mark.exists() or mark.stat().st_mtime < lock.stat().st_mtime


def _fresh(place: Path) -> None:
    (place / ".done").touch()
