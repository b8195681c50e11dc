"""Ids of requests, for whichever transport answers."""

import os


class RequestIds:
    """Ids that are unique over processes, forked ones too."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another process."""
        self._prefix = f"req_{os.urandom(6).hex()}"
        self._next = 10_000_000  # of one length for long

    def next(self) -> str:
        """One that nobody had before."""
        prefix, number = self.some(1)
        return f"{prefix}{number}"

    def some(self, amount: int) -> tuple[str, int]:
        """What that many ids begin with, and the number that the first ends with; the others have
        those after it."""
        first = self._next
        self._next += amount
        return self._prefix, first


request_ids = RequestIds()
os.register_at_fork(after_in_child=request_ids.renew)
