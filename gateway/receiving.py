"""Reading bodies: each under a size and a time, and all of them together under a sum of bytes.

This comes before authentication. Without the sum, whoever can connect could send many bodies slowly
and fill the memory. What counts is what has arrived, not what a Content-Length announces.
"""

import asyncio
from typing import Protocol

from aiohttp import ClientPayloadError, StreamReader, web

from core.errors import NotAccepted, Reason, Rejected, Unavailable
from core.metrics import Meter, Metric
from core.settings import Settings


class Arrival(Protocol):
    """A body that is arriving in parts, on a transport of its own."""

    def cut(self, error: NotAccepted) -> None:
        """Answer that, and read nothing more."""


class Receiving:
    """The bodies in memory, from their first byte until `drop`."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self.body_bytes_max = settings.body_bytes_max
        self.body_timeout_s = settings.body_timeout_s
        self._sum_bytes_max = settings.inflight_bytes_max
        self._level = meter.cell(Metric.RECEIVING_BYTES)
        self._sum_bytes = 0
        self._times: set[asyncio.Timeout] = set()  # of the bodies that are arriving
        self._arrivals: set[Arrival] = set()
        self._ended = False

    async def read(self, request: web.Request) -> bytes:
        """The body's bytes on the wire, which count until `drop`.

        Raises Rejected: too_large, request_timeout, bad_request; Unavailable: overloaded,
        shutting_down. Then nothing of the body counts any more.
        """
        if (request.content_length or 0) > self.body_bytes_max:
            raise self._too_large()
        pieces: list[bytes] = []
        try:
            await self._gather(request.content, pieces)
        except BaseException:  # cancelled too: what is dropped counts no more; raised on
            self.drop(sum(map(len, pieces)))
            raise
        return b"".join(pieces)

    def take(self, size: int) -> None:
        """Count bytes of a body until `drop`. Raises Unavailable (overloaded); they count not."""
        if self._sum_bytes + size > self._sum_bytes_max:
            raise Unavailable(Reason.OVERLOADED)
        self._sum_bytes += size
        self._level.value = self._sum_bytes

    def expect(self, arrival: Arrival) -> bool:
        """Have it cut off at the `end`, until `forget`; False: that was already."""
        self._arrivals.add(arrival)
        return not self._ended

    def forget(self, arrival: Arrival) -> None:
        """Its body is there, or is not waited for any more."""
        self._arrivals.discard(arrival)

    def drop(self, size: int) -> None:
        """The answer to a body of this size is known, or it will not be read to its end."""
        self._sum_bytes -= size
        self._level.value = self._sum_bytes

    def end(self) -> None:
        """Wait no longer for bodies that are still arriving: their answer is shutting_down."""
        self._ended = True
        for arrival in list(self._arrivals):
            arrival.cut(Unavailable(Reason.SHUTTING_DOWN))
        now_s = asyncio.get_running_loop().time()
        for time in self._times:
            if not time.expired():
                time.reschedule(now_s)

    async def _gather(self, content: StreamReader, pieces: list[bytes]) -> None:
        """Read to the end, under the time; errors as `read` raises them."""
        try:
            async with asyncio.timeout(self.body_timeout_s) as time:
                self._times.add(time)
                try:
                    await self._gather_counted(content, pieces)
                finally:
                    self._times.discard(time)
        except TimeoutError:
            if self._ended:
                raise Unavailable(Reason.SHUTTING_DOWN) from None
            raise Rejected(Reason.REQUEST_TIMEOUT) from None
        except (ConnectionError, ClientPayloadError):  # the client left, or broke its own framing
            raise Rejected(Reason.BAD_REQUEST, "The body broke off") from None

    async def _gather_counted(self, content: StreamReader, pieces: list[bytes]) -> None:
        """Read to the end, under the size and the sum."""
        size = 0
        async for piece in content.iter_any():
            pieces.append(piece)
            size += len(piece)
            self._sum_bytes += len(piece)
            self._level.value = self._sum_bytes
            if size > self.body_bytes_max:
                raise self._too_large()
            if self._sum_bytes > self._sum_bytes_max:
                raise Unavailable(Reason.OVERLOADED)

    def _too_large(self) -> Rejected:
        return Rejected(Reason.TOO_LARGE, f"The body is over {self.body_bytes_max:,} bytes")
