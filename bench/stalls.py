"""How long the machine itself stops, with nothing to do: no server can do anything about that.

A virtual machine's cores are taken away for milliseconds at a time, and a kernel has work of its
own. A loop that reads the clock again and again sees each such gap; what requests would wait that
came at any moment of the time, and were answered in no time at all, follows from the gaps alone.

    python -m bench.stalls SECONDS      prints the gaps of one core, in nanoseconds, as JSON
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import accumulate

from bench.machine import LOAD, SERVER, on_core
from bench.rounds import P50, P99, P999, Figures

GAP_NS_MIN = 100_000  # shorter ones delay nobody that it would show of
QUANTILES = {P50: 0.5, P99: 0.99, P999: 0.999}


def alone(seconds: int) -> Figures:
    """The waits that the gaps of both cores would be, while this loop is all that runs."""
    gaps: list[int] = []
    commands = [
        on_core(core, sys.executable, "-m", "bench.stalls", str(seconds)) for core in (SERVER, LOAD)
    ]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    for loop in loops:
        printed, _ = loop.communicate(timeout=seconds + 60)
        gaps += json.loads(printed)
    return {
        name: wait_ns(gaps, int(seconds * 1e9), share) / 1e6 for name, share in QUANTILES.items()
    }


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


def gaps_ns(seconds: float) -> list[int]:
    """The gaps that a loop sees on its core."""
    found: list[int] = []
    clock = time.perf_counter_ns
    gc.disable()
    try:
        last = clock()
        until = last + int(seconds * 1e9)
        while last < until:
            now = clock()
            if now - last > GAP_NS_MIN:
                found.append(now - last)
            last = now
    finally:
        gc.enable()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(gaps_ns(float(sys.argv[1]))))
