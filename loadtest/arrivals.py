"""When requests are due: an open loop's schedule does not wait for answers.

If a target stalls, requests go on falling due, and each one's latency counts from then. A loop that
sends the next request when the last is answered would sleep through the stall (coordinated
omission: Tene, "How NOT to Measure Latency").
"""

from collections.abc import Iterator
from random import Random

from loadtest.plan import Arrivals


def arrivals(kind: Arrivals, rate_s: float, duration_s: float, seed: int) -> Iterator[float]:
    """Due times in seconds from the start, ascending and below `duration_s`.

    constant: evenly spaced. poisson: independent arrivals, exponentially spaced, by the seed.
    """
    if kind == "constant":
        for number in range(int(rate_s * duration_s)):
            yield number / rate_s
        return
    random = Random(seed)
    due_s = random.expovariate(rate_s)
    while due_s < duration_s:
        yield due_s
        due_s += random.expovariate(rate_s)
