"""The machine that figures belong to, and what a process costs on it.

Servers run on one core, queue and load on another, so that neither takes the other's time; and what
is compared is CPU time (user and system, as /proc tells it), which other work on the machine blurs
least. The kernel counts it in hundredths of a second: a run of some seconds is exact to a percent.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any

import psutil

from loadtest.report import commit, processor

SERVER, LOAD = 0, 1  # cores
TOOLS = (
    ("wrk", ["wrk", "-v"]),
    ("node", ["node", "--version"]),
    ("go", ["go", "version"]),
    ("nginx", ["nginx", "-v"]),
)


def on_core(core: int, *command: str) -> list[str]:
    """The command, pinned to a core; on a machine with one core, both roles share it."""
    usable = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(usable[core % len(usable)]), *command]


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_s(pid: int) -> float:
    """Seconds of CPU time, user and system, that a process tree has used."""
    times = [process.cpu_times() for process in tree(pid)]
    return float(sum(spent.user + spent.system for spent in times))


def rss_bytes(pid: int) -> int:
    """Resident memory of a process tree; pages that its processes share count in each."""
    return sum(process.memory_info().rss for process in tree(pid))


def python_build() -> str:
    """How the interpreter was compiled, which is worth a quarter of its speed."""
    if "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")):
        return "optimised"
    if sys.base_prefix == "/usr":  # Debian profiles it by other means, and does not tell
        return "the distribution's"
    return "not optimised"


def describe(queue: str) -> dict[str, Any]:
    """The machine and the versions. queue: the queue server's own version line."""
    found = {name: line for name, command in TOOLS if (line := first_line(command))}
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "commit": commit(),
        "load": round(os.getloadavg()[0], 2),  # of the minute before: is anything else running?
        "python": f"{platform.python_version()} ({python_build()} build)",
        "queue": queue,
        **found,
    }


def first_line(command: Sequence[str]) -> str | None:
    """The first line that a command prints; None if there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""
