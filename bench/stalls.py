"""How long the machine itself stops, with nothing to do: no server can do anything about that.

A virtual machine's cores are taken away for milliseconds at a time, and a kernel has work of its
own. A loop that reads the clock again and again sees each such gap; what requests would wait that
came at any moment of the time, and were answered in no time at all, follows from the gaps alone. It
is an estimate: a loop that never sleeps loses time, too, that a server would have slept through.

    python -m bench.stalls SECONDS           prints what requests would wait, for both cores
    python -m bench.stalls SECONDS --gaps    prints the gaps of the core it runs on, as JSON
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import accumulate

from bench.machine import LOAD, SERVER, on_core
from bench.processes import BenchError
from bench.rounds import P50, P99, P999, Figures

GAP_NS_MIN = 100_000  # shorter ones delay nobody that it would show of
Gap = tuple[int, int]  # from when to when, in ns of the system's monotonic clock
QUANTILES = {P50: 0.5, P99: 0.99, P999: 0.999}


def alone(seconds: int) -> Figures:
    """The waits that the gaps would be, of either core: a request needs both."""
    commands = [
        on_core(core, sys.executable, "-m", "bench.stalls", str(seconds), "--gaps")
        for core in (SERVER, LOAD)
    ]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    try:
        printed = [loop.communicate(timeout=seconds + 60)[0] for loop in loops]
    finally:
        for loop in loops:
            loop.kill()
    if any(loop.returncode for loop in loops):
        raise BenchError("the loops that look for gaps have failed")
    gaps = [(start, end) for one in printed for start, end in json.loads(one)]
    lengths = joined_ns(gaps)
    return {
        name: wait_ns(lengths, int(seconds * 1e9), share) / 1e6 for name, share in QUANTILES.items()
    }


def joined_ns(gaps: Sequence[Gap]) -> list[int]:
    """How long each gap is, where those that overlap are one."""
    found: list[Gap] = []
    for start, end in sorted(gaps):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return [end - start for start, end in found]


def wait_ns(gaps: Sequence[int], total_ns: int, share: float) -> float:
    """What this share of requests waits at most, if they come at any moment of the time, and who
    comes within a gap waits until its end."""
    longer_ns = (1 - share) * total_ns  # the moments at which one may come and wait longer
    longest = sorted(gaps, reverse=True)
    for amount, (sum_ns, next_ns) in enumerate(
        zip(accumulate(longest), [*longest, 0][1:], strict=True), start=1
    ):
        # Who waits longer than the next gap is long came within one of these, early enough.
        if sum_ns - amount * next_ns > longer_ns:
            return (sum_ns - longer_ns) / amount
    return 0.0


def gaps_of(seconds: float, clock: Callable[[], int] = time.monotonic_ns) -> list[Gap]:
    """The gaps that a loop sees on its core."""
    found: list[Gap] = []
    gc.disable()
    try:
        last = clock()
        until = last + int(seconds * 1e9)
        while last < until:
            now = clock()
            if now - last > GAP_NS_MIN:
                found.append((last, now))
            last = now
    finally:
        gc.enable()
    return found


if __name__ == "__main__":
    if sys.argv[2:] == ["--gaps"]:
        sys.stdout.write(json.dumps(gaps_of(float(sys.argv[1]))))
    else:
        sys.stdout.write(f"{json.dumps(alone(int(sys.argv[1])))}\n")
