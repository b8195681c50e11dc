"""When a backlog is full, and how long until it takes more: arithmetic on what is sampled."""

from math import ceil, exp

RESUME = 0.9  # of a bound: once reached, the level must fall to this before more is taken
AVERAGE_S = 5  # over which the rate of draining is averaged
RETRY_AFTER_S = 30  # while the rate is not known
RETRY_AFTER_S_MAX = 60


class Bound:
    """A bound with hysteresis, so that a level that hovers there does not flap; 0: none."""

    __slots__ = ("level", "maximum", "reached")

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum
        self.level = 0.0
        self.reached = False

    def update(self, level: float) -> None:
        """Note the level of now."""
        self.level = level
        self.reached = bool(self.maximum) and (
            level >= self.maximum or (self.reached and level > self.maximum * RESUME)
        )

    def excess(self) -> float:
        """The share of the level that must go before more is taken."""
        return 1 - self.maximum * RESUME / self.level if self.reached else 0.0


class DrainRate:
    """Entries that leave a stream per second: what was added, less what it has grown by.

    An average that forgets exponentially. Intervals in which a counter went back are left out: the
    stream was deleted, or made anew.
    """

    __slots__ = ("_last", "_measured", "entries_s")

    def __init__(self) -> None:
        self.entries_s = 0.0
        self._last: tuple[int, int, float] | None = None
        self._measured = False

    def observe(self, entries: int, added: int | None, now_s: float) -> None:
        """Note the stream's length and how many entries it was ever given; None: not known now."""
        if added is None:
            return
        last, self._last = self._last, (entries, added, now_s)
        if last is None or now_s <= last[2]:
            return
        drained, passed_s = added - last[1] - (entries - last[0]), now_s - last[2]
        if added < last[1] or drained < 0:
            return
        weight = 1 - exp(-passed_s / AVERAGE_S) if self._measured else 1.0
        self.entries_s += weight * (drained / passed_s - self.entries_s)
        self._measured = True


def retry_after_s(entries: float, entries_s: float) -> int:
    """Whole seconds until `entries` have been drained at this rate, within bounds."""
    if entries <= 0 or entries_s <= 0:
        return RETRY_AFTER_S
    return ceil(min(max(entries / entries_s, 1), RETRY_AFTER_S_MAX))
