"""A TCP proxy before the queue that can cut connections in the middle of an append.

It runs in a thread with a loop of its own. A cut lets `keep` bytes of an append through and then
resets both sides, so that the server is left with half a command; or, with the whole append let
through, the client never learns that it succeeded.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

CHUNK = 1 << 16
APPEND = b"|identity|"  # in the header of each entry
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
Writer = asyncio.StreamWriter


class Proxy:
    """Forwards a port to another one, and hurts what passes."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._open: set[Writer] = set()
        self._cuts: list[Callable[[int], int]] = []
        self._refuses = False
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())

    def cut(self, *keep: Callable[[int], int]) -> None:
        """Cut the next appends: each tells, given an append's size, how much of it may pass."""
        self._loop.call_soon_threadsafe(self._cuts.extend, keep)

    @property
    def cuts_left(self) -> int:
        """Cuts that no append has met yet."""
        return len(self._cuts)

    def refuse(self) -> None:
        """Reset all connections, and new ones at once: the queue cannot be reached."""
        self._call(self._refuse())

    def admit(self) -> None:
        """Let connections through again."""
        self._refuses = False

    def end(self) -> None:
        """Close everything, and end the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        self._refuses = True
        for writer in list(self._open):
            reset(writer)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._refuse()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: Writer) -> None:
        if self._refuses:
            reset(client)
            return
        try:
            back, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            reset(client)
            return
        pair = {client, server}
        self._open |= pair
        try:
            forth = asyncio.ensure_future(self._forward(reader, server, cuts=True))
            other = asyncio.ensure_future(self._forward(back, client, cuts=False))
            _, rest = await asyncio.wait({forth, other}, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(forth, other, return_exceptions=True)
        finally:
            self._open -= pair
            for writer in pair:
                reset(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: Writer, *, cuts: bool) -> None:
        """Copy until the end, an error, or a cut."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if cuts and self._cuts and APPEND in data:
                    writer.write(data[: self._cuts.pop(0)(len(data))])
                    await writer.drain()
                    await asyncio.sleep(0.005)  # for the part to arrive before the reset does
                    return
                writer.write(data)
                await writer.drain()


def reset(writer: Writer) -> None:
    """Close a connection with a reset."""
    with contextlib.suppress(OSError, AttributeError):
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
