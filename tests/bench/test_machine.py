"""What is told of a machine and its processes."""

import os
import subprocess
import sys
import time

from bench.machine import cpu_s, describe, first_line, on_core, rss_bytes

BUSY = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
SPIN = "import time\nwhile time.process_time() < 30: pass"


def test_pinned() -> None:
    """A pinned process may run on one core, another than one pinned to the other core."""
    tell = "import os; print(os.sched_getaffinity(0))"
    cores = [subprocess.check_output(on_core(n, sys.executable, "-c", tell)) for n in (0, 1)]
    assert all(len(eval(core)) == 1 for core in cores)
    assert len(set(cores)) == min(2, len(os.sched_getaffinity(0)))


def test_cpu_of_a_tree() -> None:
    """A child's time counts as its parent's, and its memory too."""
    process = subprocess.Popen([sys.executable, "-c", BUSY, SPIN])
    until_s = time.monotonic() + 20
    while cpu_s(process.pid) < 0.5:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    assert rss_bytes(process.pid) > 10_000_000
    for number in subprocess.check_output(["pgrep", "-P", str(process.pid)]).split():
        os.kill(int(number), 9)
    process.wait(10)


def test_describe() -> None:
    """The machine, the commit and the tools that are there are named."""
    found = describe("Valkey 9")
    assert found["cores"] == os.cpu_count()
    assert found["queue"] == "Valkey 9"
    assert found["wrk"].startswith("wrk")
    assert {"cpu", "system", "commit", "python"} <= found.keys()


def test_first_line_of_nothing() -> None:
    """A tool that is not installed has no version."""
    assert first_line(["no-such-tool"]) is None
    assert first_line(["true"]) == ""
