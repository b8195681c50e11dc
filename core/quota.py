"""A token bucket (https://en.wikipedia.org/wiki/Token_bucket) that may go into debt.

The number of events in a request is known only after its body is decoded, and a request over the
quota must be refused before that. So a request is let in while the balance is above zero, and pays
afterwards.
"""

from math import floor


class Bucket:
    """One project's tokens: events. Holds at most one second's worth."""

    __slots__ = ("balance", "rate_s", "updated_s")

    def __init__(self, rate_s: int, now_s: float) -> None:
        self.rate_s = rate_s
        self.balance = float(rate_s)
        self.updated_s = now_s

    def wait_s(self, now_s: float) -> int:
        """0 if a request may pass now, else whole seconds until one may. now_s: monotonic."""
        self.balance += (now_s - self.updated_s) * self.rate_s
        self.balance = min(self.balance, self.rate_s)
        self.updated_s = now_s
        if self.balance > 0:
            return 0
        return floor(-self.balance / self.rate_s) + 1

    def pay(self, tokens: int) -> None:
        """Take what the request has cost."""
        self.balance -= tokens
