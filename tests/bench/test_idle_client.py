"""The client that holds connections."""

import asyncio

from bench.idle_client import hold
from bench.load import requests_of, single
from bench.servers import Server


async def test_hold(server: Server) -> None:
    """A connection is held once its request has had a 202, and not if it was refused."""
    gate = asyncio.Semaphore(1)
    good = requests_of(server.senders, [single(0)])[0]
    held = await hold(server.port, good, gate)
    assert held is not None
    assert not held.is_closing()
    held.close()
    await held.wait_closed()
    bad = good.replace(b"sha256=", b"sha256=0")
    assert await hold(server.port, bad, gate) is None
