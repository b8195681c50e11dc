"""The roles as processes: several of them, Unix sockets, and what they say when they cannot."""

import http.client
import re
import signal
import socket
import sqlite3
import stat
import time
from pathlib import Path

import psutil
import pytest

from core.auth import sign
from tests.cli.conftest import Child, Command, Spawn, Store, free_port, until
from tests.cli.test_roles import assert_refused, logged
from tests.raw_http import EVENT, PATH


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket, or over TCP to a port of this host."""

    def __init__(self, where: Path | int) -> None:
        super().__init__("127.0.0.1", where if isinstance(where, int) else None, timeout=10)
        self._where = where

    def connect(self) -> None:
        """Connect to either."""
        if isinstance(self._where, int):
            return super().connect()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        return self.sock.connect(str(self._where))


def get(where: Path | int, path: str) -> tuple[int, str]:
    """(status, text) of a page."""
    client = Unix(where)
    client.request("GET", path)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, text


def post(where: Path | int, store: Store) -> tuple[int, str]:
    """(status, request id) of one signed event."""
    now_s = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "X-Contox-Project": store.project,
        "X-Contox-Timestamp": str(now_s),
        "X-Contox-Signature": sign(store.secret, timestamp_s=now_s, body=EVENT),
    }
    client = Unix(where)
    client.request("POST", PATH, EVENT, headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status, answer.headers["X-Request-Id"]


def metric(where: Path | int, name: str) -> float:
    """The sum of a metric's series on the page."""
    _, text = get(where, "/metrics")
    found = re.findall(rf"^contox_ingest_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def port_of(gateway: Child, processes: int = 1) -> int:
    """The port, once all processes are connected and listen."""
    for event in ("queue connected", "gateway listens"):
        until(lambda event=event: len(logged(gateway, event)) == processes)  # type: ignore[misc]
    ports = {line["port"] for line in logged(gateway, "gateway listens")}
    (port,) = ports
    assert isinstance(port, int)
    return port


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path for a Unix socket."""
    return tmp_path_factory.mktemp("s") / "g.sock"


def test_several(spawn: Spawn, store: Store) -> None:
    """Three processes share a port that was free; any of them shows the sum; all get requests, no
    request id comes twice, and the log's lines are whole and say which process wrote them."""
    gateway = spawn("gateway", "--processes", 3, **store.environ)
    port = port_of(gateway, 3)
    answers = [post(port, store) for _ in range(60)]
    assert {status for status, _ in answers} == {202}
    assert len({request_id for _, request_id in answers}) == 60
    assert len({request_id[:-8] for _, request_id in answers}) == 3
    until(lambda: all(metric(port, "events_accepted_total") == 60 for _ in range(10)))
    assert metric(port, "processes") == 3
    assert metric(port, "queue_connected") == 1
    assert gateway.stop().status == 0
    assert sorted(line["process"] for line in logged(gateway, "gateway stops")) == [0, 1, 2]
    assert all(line.startswith("{") for line in gateway.err.splitlines())


def test_readiness_while_stopping(spawn: Spawn, store: Store) -> None:
    """SIGTERM turns the readiness of every process red, for the grace; all accept meanwhile."""
    gateway = spawn("gateway", CONTOX_PROCESSES="2", CONTOX_STOP_GRACE_S="2", **store.environ)
    port = port_of(gateway, 2)
    gateway.process.send_signal(signal.SIGTERM)
    until(lambda: len(logged(gateway, "gateway stops")) == 2)
    pages = [get(port, "/readyz") for _ in range(10)]
    assert {status for status, _ in pages} == {503}
    assert all("The gateway is shutting down" in text for _, text in pages)
    assert {post(port, store)[0] for _ in range(10)} == {202}
    assert gateway.wait().status == 0


def test_killed(spawn: Spawn, store: Store) -> None:
    """A process that is killed is started again, and what it had counted is still shown."""
    gateway = spawn("gateway", "--processes", 2, **store.environ)
    port = port_of(gateway, 2)
    for _ in range(20):
        post(port, store)
    until(lambda: metric(port, "events_accepted_total") == 20)
    time.sleep(0.6)  # what was counted within the last half a second may be missing
    for child in psutil.Process(gateway.process.pid).children():
        child.kill()
    until(lambda: len(logged(gateway, "queue connected")) == 4)
    post(port, store)
    until(lambda: metric(port, "events_accepted_total") == 21)
    until(lambda: metric(port, "processes") == 2)
    assert [line["status"] for line in logged(gateway, "process died; restarting")] == [-9, -9]
    assert gateway.stop().status == 0


REFUSED = {
    "no-key": ({"CONTOX_MASTER_KEY": ""}, "CONTOX_MASTER_KEY is not set; make one with"),
    "address": ({"CONTOX_HOST": "192.0.2.1"}, "The gateway cannot start: [Errno 99] cannot listen"),
    "store": ({"CONTOX_DATABASE_URL": "sqlite:////no/a.db"}, "CONTOX_DATABASE_URL cannot be used"),
    "no-directory": ({"CONTOX_UDS": "/no/g.sock"}, "The gateway cannot start: [Errno 2] cannot"),
}


@pytest.mark.parametrize(("changed", "told"), REFUSED.values(), ids=REFUSED)
def test_refuses_to_start(spawn: Spawn, store: Store, changed: dict[str, str], told: str) -> None:
    """Where no process can start, the parent says why in one sentence, once, with status 1."""
    result = spawn("gateway", "--processes", 3, **{**store.environ, **changed}).wait()
    assert_refused(result.status, result.err, told)
    assert result.err.count(told) == 1


def test_taken_port(spawn: Spawn, store: Store) -> None:
    """A port that another gateway shares among its own processes is taken for a second one."""
    first = spawn("gateway", "--processes", 2, **store.environ)
    environ = {**store.environ, "CONTOX_PORT": str(port_of(first, 2))}
    for processes in (1, 2):
        result = spawn("gateway", "--processes", processes, **environ).wait()
        assert_refused(result.status, result.err, "The gateway cannot start: [Errno 98] ")
    assert first.stop().status == 0


async def test_unix_alone(spawn: Spawn, command: Command, store: Store, socket_path: Path) -> None:
    """A sidecar's gateway listens on a Unix socket instead of TCP, as one process; `ready` asks
    there; the file goes when it stops."""
    environ = {**store.environ, "CONTOX_UDS": str(socket_path), "CONTOX_UDS_MODE": "0600"}
    del environ["CONTOX_PORT"]
    nobody = f"contox-ingest: Nothing listens on {socket_path}.\n"
    assert await command("ready", "gateway", **environ) == (1, "", nobody)
    gateway = spawn("gateway", **environ)
    until(lambda: logged(gateway, "queue connected"))
    until(lambda: logged(gateway, "gateway listens"))  # it may come a moment later
    (line,) = logged(gateway, "gateway listens")
    assert (line["uds"], "port" in line, "process" in line) == (str(socket_path), False, False)
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    assert post(socket_path, store)[0] == 202
    assert (await command("ready", **environ)).json["status"] == "ready"
    assert gateway.stop().status == 0
    assert not socket_path.exists()


def test_unix_and_tcp(spawn: Spawn, store: Store, socket_path: Path) -> None:
    """With a port it listens on both; several processes share the one socket, and what a killed
    gateway has left is replaced."""
    for _ in range(2):
        gateway = spawn("gateway", "--processes", 2, "--uds", socket_path, **store.environ)
        port = port_of(gateway, 2)
        before = metric(port, "events_accepted_total")
        assert {post(where, store)[0] for where in (socket_path, port) * 10} == {202}
        until(lambda p=port, n=before: metric(p, "events_accepted_total") == n + 20)
        children = psutil.Process(gateway.process.pid).children()
        for each in (gateway.process, *children):
            each.kill()
        gateway.process.wait()
        psutil.wait_procs(children, 10)
        assert socket_path.exists()
    second = spawn("gateway", "--uds", socket_path, **store.environ)
    port_of(second)
    refused = spawn("gateway", "--uds", socket_path, **store.environ).wait()
    assert_refused(refused.status, refused.err, "The gateway cannot start: [Errno 98] cannot liste")
    assert "another process listens on it" in refused.err
    assert post(socket_path, store)[0] == 202
    assert second.stop().status == 0
    assert not socket_path.exists()


def spooled(directory: Path) -> int:
    """Entries in all spools under a directory."""
    total = 0
    for path in directory.rglob("spool.db"):
        with sqlite3.connect(path) as db:
            total += db.execute("SELECT count(*) FROM entries").fetchone()[0]
        db.close()
    return total


def test_spools(spawn: Spawn, store: Store, tmp_path: Path) -> None:
    """Each process spools into a directory of its own; with fewer processes later, what the others
    held is taken over, drained, and nothing is lost."""
    directory = tmp_path / "spool"
    queue_url = store.environ["CONTOX_REDIS_URL"]
    away = {
        **store.environ,
        "CONTOX_REDIS_URL": f"redis://127.0.0.1:{free_port()}",
        "CONTOX_SPOOL_DIR": str(directory),
    }
    gateway = spawn("gateway", "--processes", 3, **away)
    until(lambda: len(logged(gateway, "gateway listens")) == 3)
    port = logged(gateway, "gateway listens")[0]["port"]
    assert {post(port, store)[0] for _ in range(40)} == {202}
    until(lambda: metric(port, "spool_entries") == 40)
    assert gateway.stop().status == 0
    assert spooled(directory) == 40
    assert len(list(directory.rglob("spool.db"))) == 3
    gateway = spawn("gateway", **{**away, "CONTOX_REDIS_URL": queue_url})
    until(lambda: len(logged(gateway, "spool adopted")) == 2)
    until(lambda: spooled(directory) == 0)
    assert gateway.stop().status == 0
    assert [path.parent for path in directory.rglob("spool.db")] == [directory]
