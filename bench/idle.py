"""What idle connections cost: resident memory with 10,000 of them, over none.

The connections belong to a process of their own (bench/idle_client.py). Each has sent one signed
request and had its answer, as a producer's would that keeps its connection.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.files import allow_files
from bench.load import requests_of
from bench.machine import LOAD, on_core, rss_bytes
from bench.peer_table import bodies
from bench.processes import BenchError
from bench.queue_server import queue
from bench.rounds import Plan, warmed
from bench.servers import gateway

CONNECTIONS = 10_000
SPARE = 500  # files for all else
OPEN_S = 120
OVER = "MB over idle"


def measure(plan: Plan, connections: int = CONNECTIONS) -> dict[str, Any]:
    """Memory with that many connections, over memory before, summed over processes."""
    allow_files(connections + SPARE)
    settings = {"CONTOX_CONNECTIONS_MAX": str(connections + SPARE)}
    with (
        queue(durable=False) as own,
        gateway(own, ack="memory", settings=settings) as server,
        tempfile.TemporaryDirectory() as directory,
    ):
        warmed(server, own, bodies(), plan._replace(seconds=1))
        idle = rss_bytes(server.pid)
        file = Path(directory) / "request"
        file.write_bytes(requests_of(server.senders, bodies()[:1])[0])
        program = str(Path(__file__).with_name("idle_client.py"))
        command = [sys.executable, program, str(server.port), str(file), str(connections)]
        client = subprocess.Popen(
            on_core(LOAD, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            held = rss_held(client, connections, server.pid)
        finally:
            client.communicate("\n", timeout=OPEN_S)
    over = (held - idle) / 1e6
    row = {"MB idle": idle / 1e6, OVER: over, "kB each": over / connections * 1e3}
    return {"title": "Idle keep-alive connections", "rows": {f"{connections:,}": row}}


def rss_held(client: "subprocess.Popen[str]", connections: int, pid: int) -> int:
    """The gateway's memory in bytes once the client holds its connections. Raises BenchError."""
    assert client.stdout is not None
    said = client.stdout.readline().strip()
    if said != str(connections):
        raise BenchError(f"{said or 'none'} of {connections} connections were held")
    return rss_bytes(pid)
