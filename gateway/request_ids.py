"""Ids of requests, for whichever transport answers."""

import os
from itertools import count


class RequestIds:
    """Ids that are unique over processes, forked ones too."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another process."""
        self._prefix = f"req_{os.urandom(6).hex()}"
        self._numbers = count(10_000_000)  # of one length for long

    def next(self) -> str:
        """One that nobody had before."""
        return f"{self._prefix}{next(self._numbers)}"


request_ids = RequestIds()
os.register_at_fork(after_in_child=request_ids.renew)
