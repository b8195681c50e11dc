"""A body of which a part has come: it counts as being received, and is not waited for for ever."""

import asyncio
from collections.abc import Callable

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from gateway.plain_head import PlainHead
from gateway.receiving import Receiving


class Arriving:
    """The body that a connection of the lane waits for, one after the other."""

    __slots__ = ("_cut", "_due", "_receiving", "counted", "plain")

    def __init__(self, receiving: Receiving, cut: Callable[[NotAccepted], None]) -> None:
        """cut: answers that, and reads nothing more."""
        self._receiving = receiving
        self._cut = cut
        self._due: asyncio.TimerHandle | None = None  # ends the wait
        self.plain: PlainHead | None = None  # of the body that is arriving
        self.counted = 0  # bytes of it that count as being received

    def wait(self, plain: PlainHead, size: int) -> None:
        """Wait for the rest. size: of what is there."""
        self.plain = plain
        receiving = self._receiving
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(
                receiving.body_timeout_s, self.cut, Rejected(Reason.REQUEST_TIMEOUT)
            )
            if not receiving.expect(self):
                self.cut(Unavailable(Reason.SHUTTING_DOWN))
                return
        try:
            receiving.take(size - self.counted)
        except Unavailable as error:
            self.cut(error)
        else:
            self.counted = size

    def cut(self, error: NotAccepted) -> None:
        """See gateway.receiving.Arrival."""
        self.over()
        self._cut(error)

    def over(self) -> None:
        """It is waited for no more: it has been taken, or will not be."""
        self.plain = None
        if self._due is not None:
            self._due.cancel()
            self._due = None
            self._receiving.forget(self)
        if self.counted:
            self._receiving.drop(self.counted)
            self.counted = 0
