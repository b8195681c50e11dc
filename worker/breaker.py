"""A breaker: stops the drain rather than pour everything that arrives into the dead letters.

A store that was migrated wrongly refuses every event for one and the same reason. Then the events
are better off where they are, in order, until somebody has put it right.
"""

from collections import deque

WINDOW_EVENTS = 1_000  # the share is taken of about as many, the most recent ones
DEAD_MIN = 100  # fewer never trip it: a few bad events are nobody's alarm


class Breaker:
    """Decides whether events may become dead letters, by their share of what came lately."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._recent: deque[tuple[int, int]] = deque()  # events, dead ones, of each batch
        self._events = self._dead = 0
        self.why = ""  # why the drain is stopped; empty: it is not

    def trips(self, events: int, dead: int) -> bool:
        """Whether these dead events, out of so many, are too many. Counts nothing."""
        if not (self._percent and dead):
            return False
        all_dead, all_events = self._dead + dead, self._events + events
        return all_dead >= DEAD_MIN and all_dead * 100 > self._percent * all_events

    def count(self, events: int, dead: int) -> None:
        """Count a batch that has been settled."""
        self._recent.append((events, dead))
        self._events += events
        self._dead += dead
        while self._events - self._recent[0][0] >= WINDOW_EVENTS:
            old_events, old_dead = self._recent.popleft()
            self._events -= old_events
            self._dead -= old_dead
