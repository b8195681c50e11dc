"""A token bucket (https://en.wikipedia.org/wiki/Token_bucket) of one project's events or bytes.

Requirements  A request over the quota is refused before its body is decoded, though only decoding
              tells how many events it holds; several gateways keep one quota together, without
              asking each other while a request waits.
Solution      A bucket may go into debt: a request is let in while the balance is above zero, and
              pays afterwards. What a bucket has paid out it tells now and then to a counter that
              all share, and what that has grown by beyond it, others have paid out: it is taken
              from this bucket too. Tokens that had no room in the full bucket pay for others first,
              so that one that was idle meanwhile owes nothing for it.
Cost          What others let in is known late, by the time between two tellings. A debt made by
              others is forgiven beyond DEBT_S: with more than DEBT_S / (that time) gateways, or
              requests worth more than DEBT_S of the quota, the fleet lets more in.
"""

from math import floor

DEBT_S = 10  # of the quota: the debt that others' use can put a bucket into


class Bucket:
    """Holds at most one second's worth of tokens. Times are monotonic, in seconds."""

    __slots__ = ("balance", "known", "overflow", "rate_s", "untold", "updated_s")

    def __init__(self, rate_s: int, now_s: float) -> None:
        self.rate_s = rate_s
        self.balance = float(rate_s)
        self.updated_s = now_s
        self.overflow = 0.0  # tokens that had no room since others' use was last learned
        self.untold = 0  # tokens paid since the last `tell`
        self.known: int | None = None  # the shared counter, as last learned

    def wait_s(self, now_s: float) -> int:
        """0 if a request may pass now, else whole seconds until one may."""
        self._refill(now_s)
        if self.balance > 0:
            return 0
        return floor(-self.balance / self.rate_s) + 1

    def pay(self, tokens: int) -> None:
        """Take what a request has cost."""
        self.balance -= tokens
        self.untold += tokens

    def tell(self) -> int:
        """The tokens to add to the shared counter: those paid since the last call."""
        told, self.untold = self.untold, 0
        return told

    def learn(self, total: int, told: int, now_s: float) -> None:
        """Take what others have paid. total: the shared counter after `told` was added to it.

        The first total after the start or `forget` is only remembered. One that went back is that
        of a new counter: it was deleted meanwhile.
        """
        if self.known is not None:
            others = total - told - self.known
            self._owe(others if others >= 0 else max(0, total - told), now_s)
        self.known = total

    def forget(self) -> None:
        """The shared counter could not be reached: what it says next cannot be accounted for."""
        self.known = None

    def _owe(self, tokens: int, now_s: float) -> None:
        self._refill(now_s)
        debit = max(0.0, tokens - self.overflow)
        self.overflow = 0.0
        lowest = min(self.balance, -DEBT_S * self.rate_s)
        self.balance = max(lowest, self.balance - debit)

    def _refill(self, now_s: float) -> None:
        filled = self.balance + (now_s - self.updated_s) * self.rate_s
        self.balance = min(filled, self.rate_s)
        self.overflow += filled - self.balance
        self.updated_s = now_s
