"""Ids of requests, for whichever transport answers."""

import os
from itertools import count


class RequestIds:
    """Ids that are unique over processes, forked ones too."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another process."""
        self._process = os.urandom(6).hex()
        self._numbers = count(1)

    def next(self) -> str:
        """One that nobody had before."""
        return f"req_{self._process}{next(self._numbers):08x}"


request_ids = RequestIds()
os.register_at_fork(after_in_child=request_ids.renew)
