"""Whatever bytes come, however they are split, the lane does with them what aiohttp does.

Both protocols run on transports in memory, so that nothing hangs on the kernel's timing; endpoint,
keys and queue are real. Two things differ by nature. aiohttp forgets a request whose successor in
the same piece is broken, and the lane does not: so aiohttp is given byte by byte what the lane
served, and then the very pieces that the lane has handed over. And aiohttp refuses some heads
before they end, which the lane only looks at then: so a head that is left open is ended.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.codec import decode
from core.partitions import stream_key
from gateway.lane import Lane
from gateway.plain_head import END
from gateway.server import Protocol
from tests.gateway import wire_bytes
from tests.gateway.conftest import NOW, Running

SETTLE_S = 20
DIFFER = re.compile(rb"(?:X-Request-Id|X-RateLimit-\w+|Date|Server): ")


class Wire(asyncio.Transport):
    """A transport in memory, for one protocol after another."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.received = 0  # bytes
        self.sent = bytearray()
        self.reading = True
        self.closed = False
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """Give the protocol what its client has sent."""
        self.received += len(data)
        self.protocol.data_received(data)

    def write(self, data: Any) -> None:
        """Keep what is sent; what comes after the end is an error, as uvloop has it."""
        assert not self.closed
        self.sent += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio.BaseTransport."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See asyncio.BaseTransport."""
        return self.protocol  # type: ignore[no-any-return]

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self.reading = False

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self.reading = True

    def is_closing(self) -> bool:
        """See asyncio.BaseTransport."""
        return self.closed

    def close(self) -> None:
        """Tell the protocol with the loop's next turn, once."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    def get_write_buffer_size(self) -> int:
        """Its client reads at once."""
        return 0


class Recording(Protocol):
    """aiohttp's protocol, which notes the pieces that it is given."""

    __slots__ = ("pieces",)

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._lingering_time = 0.0  # for the rest of a body that nobody wants
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        """Note it. The empty one is aiohttp's own, to parse what it has kept."""
        if data:
            self.pieces.append(data)
        super().data_received(data)


class Both:
    """The two protocols of one gateway, and what each does with bytes."""

    def __init__(self, running: Running, server: web.Server) -> None:
        self._running = running
        self._server = server
        self._gateway = running.gateway
        self._last = b"-"  # entry of the queue that has been seen

    def aiohttp(self) -> Recording:
        """Without the lane."""
        return Recording(self._gateway.endpoint, self._gateway.connections, self._server)

    def lane(self) -> Lane:
        """With it."""
        return Lane(self._gateway.endpoint, self._gateway.connections, self.aiohttp)

    async def seen(self, wire: Wire, pieces: list[bytes], turns: int | None) -> tuple[Any, ...]:
        """The answers to these bytes, whether the connection is closed then, and the entries.

        turns: of the loop between pieces; None: as many as the piece before needs.
        """
        for piece in pieces:
            await until(lambda: wire.reading or wire.closed)
            if wire.closed:
                break
            wire.receive(piece)
            if turns is None:
                await until(lambda: self._settled(wire))
            for _ in range(turns or 0):
                await asyncio.sleep(0)
        await until(lambda: self._settled(wire))
        closed = wire.closed
        wire.close()
        await until(lambda: wire.protocol not in self._gateway.connections._open)
        await until(lambda: self._gateway.endpoint.receiving._sum_bytes == 0)
        assert self._gateway.connections._heads == {}
        return answers(bytes(wire.sent)), closed, await self._new_entries()

    def _settled(self, wire: Wire) -> bool:
        """Whether nothing more will be sent before more bytes come."""
        protocol = wire.protocol
        if wire.closed:
            return True
        if isinstance(protocol, Lane):
            waits = protocol in self._gateway.connections.ready._waiting
            return not (waits or protocol.turn.busy or protocol._closing)
        if protocol._current_request is not None:
            return pending(getattr(protocol._current_request.content, "_waiter", None))
        return wire.reading and pending(protocol._waiter) and not protocol._messages

    async def _new_entries(self) -> list[tuple[Any, ...]]:
        found = await self._running.queue.xrange(stream_key(0), min=self._last)
        if found:
            self._last = b"(" + found[-1][0]
        entries = [decode(fields) for _, fields in found]
        return [(e.session, e.form, e.encoding, e.count, e.mac, e.body) for e in entries]


def answers(sent: bytes) -> list[tuple[bytes, list[bytes], bytes]]:
    """(first line, headers, body) of each answer, less what differs by nature."""
    found = []
    for answer in re.split(rb"(?=HTTP/\d\.\d \d{3} )", sent)[1:]:
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        found.append((first, sorted(x for x in lines if not DIFFER.match(x)), body))
    return found


def pending(waiter: "asyncio.Future[None] | None") -> bool:
    """Whether somebody waits, and has not been woken."""
    return waiter is not None and not waiter.done()


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so."""
    async with asyncio.timeout(SETTLE_S):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def both(running: Running) -> Any:
    """The protocols of a gateway with small limits."""
    running.gateway.admission._clock = lambda: NOW + 0.9
    running.gateway.usual._clock = lambda: NOW + 0.9
    runner = web.AppRunner(running.gateway.app())
    await runner.setup()
    assert runner.server is not None
    yield Both(running, runner.server)
    await runner.cleanup()


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=wire_bytes.pieces(), turns=st.none() | st.integers(0, 9))
async def test_alike(both: Both, pieces: list[bytes], turns: int | None) -> None:
    """The same answers, byte for byte but for times and ids, the same end, the same entries."""
    wire = Wire(both.lane())
    with_lane = await both.seen(wire, [*pieces, END], turns)
    handed_over = [] if isinstance(wire.protocol, Lane) else wire.protocol.pieces
    own = b"".join([*pieces, END])[: wire.received - sum(map(len, handed_over))]
    bytewise = [own[n : n + 1] for n in range(len(own))]
    without = await both.seen(Wire(both.aiohttp()), bytewise + handed_over, turns)
    assert with_lane == without
