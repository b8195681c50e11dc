"""The request whose turn it is on a connection of the lane: admitted, appended, answered.

Usually that is two calls now, and one when the queue has answered. Only a request that must wait
for more than that is a task: its keys or session are looked up, or it is held back.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from core.errors import NotAccepted, Reason, Unavailable
from core.head import Head
from gateway.admission import Admitted
from gateway.answers import Answer, not_accepted
from gateway.endpoint import PATH, Endpoint
from runtime.log import get_log

log = get_log()
BUG = "request failed"
HELD_BACK = Reason.RATE_LIMITED.status


class Asker(Protocol):
    """Who is told the answers."""

    def answered(self, answer: Answer, *, close: bool) -> None:
        """The answer to the request; `close` if nothing more is to be expected of it here."""


class Turn:
    """One request at a time. It is the Receipt of that one's append."""

    __slots__ = ("_admitted", "_asker", "_body_bytes", "_endpoint", "_started_s", "_task", "busy")

    def __init__(self, endpoint: Endpoint, asker: Asker) -> None:
        self._endpoint = endpoint
        self._asker = asker
        self._admitted: Admitted | None = None  # its append is under way
        self._task: asyncio.Task[None] | None = None
        self._body_bytes = 0
        self._started_s = 0.0  # by time.perf_counter
        self.busy = False  # set from when a request is taken until its answer is told

    def begin(self, head: Head, body: bytes) -> bool:
        """Take a request whose body counts as being received; what is refused is told at once.

        Whoever takes requests off the connection has set `busy` already. Returns whether it is to
        be appended next.
        """
        self._body_bytes = len(body)
        self._started_s = time.perf_counter()
        endpoint = self._endpoint
        try:
            self._admitted = endpoint.admission.check_now(head, body)
        except NotAccepted as error:
            self._end(endpoint.refuse(error))
            return False
        except Exception:  # a bug: see `_fail`
            log.exception(BUG, path=PATH)
            self._fail()
            return False
        if self._admitted is None:
            self._start(self._answer(head, body))
            return False
        return True

    def resume(self, admitted: Admitted, started_s: float) -> None:
        """Go on with a request that was admitted elsewhere; its append is under way."""
        self._admitted = admitted
        self._body_bytes = len(admitted.entry.body)
        self._started_s = started_s

    def append(self) -> None:
        """Append what `begin` has admitted."""
        assert self._admitted is not None
        endpoint = self._endpoint
        try:
            endpoint.admission.put(self._admitted, self)
        except Unavailable as error:
            self._end(endpoint.not_appended(error))
        except Exception:  # a bug: see `_fail`
            log.exception(BUG, path=PATH)
            self._fail()

    def accepted(self, durability: str) -> None:
        """See core.ports.Receipt."""
        admitted, endpoint = self._admitted, self._endpoint
        assert admitted is not None
        body_bytes = self._body_bytes
        answer = endpoint.accepted(admitted, durability, body_bytes, self._started_s)
        self._admitted = None
        endpoint.receiving.drop(body_bytes)
        self.busy = False
        self._asker.answered(answer, close=False)

    def refused(self, error: Unavailable) -> None:
        """See core.ports.Receipt."""
        self._end(self._endpoint.not_appended(error))

    def _start(self, waiting: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(waiting)

    async def _answer(self, head: Head, body: bytes) -> None:
        """Answer a request that must wait for more than its append."""
        try:
            answer = await self._endpoint.answer(head, body)
        except Exception:  # a bug: see `_fail`
            log.exception(BUG, path=PATH)
            self._fail()
        else:
            del body
            self._end(answer)

    def _fail(self) -> None:
        """A bug, said loudly in the log, is said in the contract's words to the client."""
        self._end(not_accepted(NotAccepted(Reason.INTERNAL)), close=True)

    def _end(self, answer: Answer, *, close: bool = False) -> None:
        """The answer is known; it may be held back."""
        self._admitted = self._task = None
        self._endpoint.receiving.drop(self._body_bytes)
        if answer.kind.status == HELD_BACK:
            self._start(self._hold_back(answer))
            return
        self.busy = False
        self._asker.answered(answer, close=close)

    async def _hold_back(self, answer: Answer) -> None:
        await self._endpoint.hold_back()
        self._task = None
        self.busy = False
        self._asker.answered(answer, close=False)
