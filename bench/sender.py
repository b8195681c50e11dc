"""The harness's sender beside wrk on one target: what one core can send, and whether they agree.

Two targets: one that answers a fixed 202, where the sender is the limit, and a gateway, where the
gateway is. Target on core 0, sender on core 1, rounds interleaved, medians printed.
Usage: bench/sender.py [ROUNDS] [SECONDS]. Needs wrk.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import LOAD, SERVER, on_core
from cli.embedded import free_port
from cli.supervisor import script
from core.auth import sign
from loadtest.events import event
from loadtest.report import commit, processor

CONNECTIONS = 64
LUA = """wrk.method, wrk.path = "POST", "/api/v2/ingest"
wrk.body = [[{body}]]
wrk.headers = {{["Content-Type"] = "application/json", ["X-Contox-Project"] = "{project}",
  ["X-Contox-Timestamp"] = "{timestamp}", ["X-Contox-Signature"] = "{signature}"}}
"""
Ready = dict[str, str]


@contextmanager
def fixed_target() -> Iterator[Ready]:
    """The target that checks nothing."""
    port = str(free_port())
    program = str(Path(__file__).with_name("fixed_target.py"))
    process = subprocess.Popen(on_core(SERVER, sys.executable, program, port))
    time.sleep(1)
    yield {"url": f"http://127.0.0.1:{port}", "projectId": "proj_1", "hmacSecret": "whsec_1"}
    process.terminate()
    process.wait(10)


@contextmanager
def gateway() -> Iterator[Ready]:
    """A whole stack."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "ready.json"
        options = ["--port", "0", "--data-dir", directory + "/data", "--ready-file", str(file)]
        process = subprocess.Popen(
            on_core(SERVER, *script("up"), *options), stdout=subprocess.DEVNULL
        )
        while not file.exists():
            assert process.poll() is None
            time.sleep(0.1)
        yield json.loads(file.read_text())
        process.terminate()
        process.wait(60)


def wrk(ready: Ready, seconds: int) -> float:
    """Requests per second that wrk reaches."""
    body, timestamp_s = event("bench000", 0, 0, 600), int(time.time())
    signature = sign(ready["hmacSecret"], timestamp_s=timestamp_s, body=body.encode())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        project = ready["projectId"]
        lua.write(
            LUA.format(body=body, project=project, timestamp=timestamp_s, signature=signature)
        )
        lua.flush()
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "-s", lua.name]
        text = subprocess.check_output(on_core(LOAD, "wrk", *options, ready["url"]), text=True)
    assert "Non-2xx" not in text, text
    return float(re.findall(r"Requests/sec: +([\d.]+)", text)[0])


def harness(ready: Ready, seconds: int) -> float:
    """Requests per second that our sender reaches."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        options = ["--url", ready["url"], "--project", ready["projectId"]]
        options += ["--secret", ready["hmacSecret"], "--max", "--duration", str(seconds)]
        options += ["--connections", str(CONNECTIONS), "--json", report.name]
        command = on_core(LOAD, *script("loadtest"), *options)
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr
        return float(json.load(report)["requestsPerS"])


def main() -> None:
    """Run the rounds, print a table."""
    rounds, seconds = (int(x) for x in (*sys.argv[1:], "3", "5")[:2])
    sys.stdout.write(f"{processor()}, commit {commit()}, medians of {rounds} x {seconds} s\n")
    for name, target in (("fixed 202", fixed_target), ("gateway", gateway)):
        with target() as ready:
            figures = [(wrk(ready, seconds), harness(ready, seconds)) for _ in range(rounds)]
        theirs, ours = (statistics.median(column) for column in zip(*figures, strict=True))
        sys.stdout.write(f"{name:<10} wrk {theirs:>9,.0f}/s  harness {ours:>9,.0f}/s")
        sys.stdout.write(f"  ratio {ours / theirs:.2f}\n")


if __name__ == "__main__":
    main()
