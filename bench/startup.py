"""How long a gateway takes from its exec to its first 202, its queue and its store running.

Usage: python -m bench.startup [ROUNDS] [PROCESSES]. The first round fills the file cache and does
not count. CPU is that of the gateway's processes, user and system, until it has stopped.
"""

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cli.accounts import open_accounts
from cli.datadir import DataDir
from cli.embedded import embedded_queue, free_port
from cli.supervisor import Supervisor, script
from core.auth import sign
from loadtest.events import event
from loadtest.report import commit, processor

POLL_S = 0.002
FIRST_S = 30
HEAD = (
    "POST /api/v2/ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    "X-Contox-Project: {project}\r\nX-Contox-Timestamp: {timestamp}\r\n"
    "X-Contox-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n"
)


async def measure(rounds: int = 5, processes: int = 1) -> dict[str, Any]:
    """Start and stop a gateway `rounds` times and once more; medians in milliseconds."""
    supervisor = Supervisor()
    with tempfile.TemporaryDirectory() as name:
        directory = DataDir(Path(name))
        directory.create()
        queue, redis_url = embedded_queue(directory)
        environ = {**os.environ, **directory.environ(), "CONTOX_REDIS_URL": redis_url}
        environ |= {"CONTOX_PROCESSES": str(processes), "CONTOX_LOG_LEVEL": "warning"}
        try:
            await supervisor.start(queue)
            async with open_accounts(environ) as accounts:
                project, secret = await accounts.create("bench")
            figures = [_once(environ, project.id, secret) for _ in range(rounds + 1)][1:]
        finally:
            await supervisor.stop()
    first_s, cpu_s = zip(*figures, strict=True)
    return {
        "processes": processes,
        "rounds": rounds,
        "first202Ms": round(statistics.median(first_s) * 1000),
        "first202MsMax": round(max(first_s) * 1000),
        "cpuMs": round(statistics.median(cpu_s) * 1000),
        "processor": processor(),
        "commit": commit(),
    }


def _once(environ: dict[str, str], project: str, secret: str) -> tuple[float, float]:
    """(seconds to the first 202, seconds of CPU) of one start."""
    port = free_port()
    started_s = time.monotonic()
    process = subprocess.Popen(script("gateway"), env={**environ, "CONTOX_PORT": str(port)})
    try:
        while _status(port, project, secret) != b"202":
            assert time.monotonic() < started_s + FIRST_S, "the gateway has not answered 202"
            time.sleep(POLL_S)
        first_s = time.monotonic() - started_s
    finally:
        process.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return first_s, used.ru_utime + used.ru_stime


def _status(port: int, project: str, secret: str) -> bytes:
    """The status that an event is answered with; empty if nobody listens yet."""
    body, timestamp_s = event("startup0", 0, 0, 100).encode(), int(time.time())
    head = HEAD.format(
        project=project,
        timestamp=timestamp_s,
        signature=sign(secret, timestamp_s=timestamp_s, body=body),
        length=len(body),
    )
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(head.encode() + body)
            return client.recv(4096)[9:12]
    except OSError:
        return b""


def main() -> None:
    """Measure and print, as JSON."""
    rounds, processes = (int(x) for x in (*sys.argv[1:], *("5", "1")[len(sys.argv) - 1 :]))
    sys.stdout.write(json.dumps(asyncio.run(measure(rounds, processes))) + "\n")


if __name__ == "__main__":
    main()
