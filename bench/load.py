"""Load from wrk, a tool that nobody here wrote: many connections, each sending as it is answered.

Requests are signed right before a run, since a signature lives five minutes, and written to a file
that wrk's script reads and then sends in turn:

    file := (length "\\n" request "\\n")*        length: bytes of the request, decimal
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.machine import LOAD, on_core
from bench.processes import BenchError
from core.auth import sign
from loadtest.events import event

CONNECTIONS = 64
EVENT_BYTES = 774
BODIES = 64  # distinct ones, sent in turn
SCRIPT = """\
local requests, count, at = {}, 0, 0
function init(args)
  local file = io.open(args[1], "rb")
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    count = count + 1
    requests[count] = file:read(length)
  end
  file:close()
end
function request()
  at = at % count + 1
  return requests[at]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f,'
      .. ' "refused": %d, "broken": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout), "\\n")
end
"""
HEAD = (
    "POST /api/v2/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "X-Contox-Project: {project}\r\nX-Contox-Timestamp: {timestamp_s}\r\n"
    "X-Contox-Signature: {signature}\r\nContent-Length: {length}\r\n\r\n"
)


class Sender(NamedTuple):
    """A project that sends."""

    project: str
    secret: str


class Load(NamedTuple):
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int  # answers that are neither 2xx nor 3xx
    broken: int  # connections that failed, and answers that did not come


def single(number: int) -> bytes:
    """One event of EVENT_BYTES."""
    frame = len(event("bench000", 0, number, 600)) - 600
    return event("bench000", 0, number, EVENT_BYTES - frame).encode()


def batch(count: int, number: int) -> bytes:
    """An array of `count` small events, about 120 bytes each."""
    events = (event("bench000", 0, number * count + index, 60) for index in range(count))
    return f"[{','.join(events)}]".encode()


def signed(sender: Sender, body: bytes, timestamp_s: int) -> bytes:
    """A whole request."""
    signature = sign(sender.secret, timestamp_s=timestamp_s, body=body)
    head = HEAD.format(
        project=sender.project, timestamp_s=timestamp_s, signature=signature, length=len(body)
    )
    return head.encode() + body


def requests_of(senders: Sequence[Sender], bodies: Sequence[bytes]) -> list[bytes]:
    """Requests signed now: every sender and every body at least once, in turn."""
    now_s = int(time.time())
    return [
        signed(senders[n % len(senders)], bodies[n % len(bodies)], now_s)
        for n in range(max(len(senders), len(bodies)))
    ]


def write_script(directory: Path, requests: Iterable[bytes]) -> list[str]:
    """Options and arguments that make wrk send these requests; its files go into `directory`."""
    script, file = directory / "load.lua", directory / "requests"
    script.write_text(SCRIPT)
    file.write_bytes(b"".join(b"%d\n%s\n" % (len(request), request) for request in requests))
    return ["--script", str(script), "--", str(file)]


def wrk_command(url: str, script: list[str], *, seconds: float, connections: int) -> list[str]:
    """The command, on the load's core."""
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}", "--timeout", "30s"]
    return on_core(LOAD, "wrk", *options, *script[:2], url, *script[2:])


def read_figures(text: str) -> Load:
    """What wrk's script has printed. Raises BenchError if it has not."""
    line = next((line for line in text.splitlines() if line.startswith("FIGURES ")), None)
    if line is None:
        raise BenchError(f"wrk gave no figures: {text[-500:]}")
    return Load(**json.loads(line.removeprefix("FIGURES ")))


def wrk(
    url: str, requests: Iterable[bytes], *, seconds: float, connections: int = CONNECTIONS
) -> Load:
    """Send the requests in turn, over and over, for whole seconds.

    Raises BenchError where wrk is not installed or gives no figures.
    """
    with tempfile.TemporaryDirectory(prefix="contox-bench-") as directory:
        script = write_script(Path(directory), requests)
        command = wrk_command(url, script, seconds=seconds, connections=connections)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return read_figures(done.stdout + done.stderr)
