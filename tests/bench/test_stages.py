"""The path of a request without sockets, a few times."""

import asyncio

from bench.stages import BLOCK, US, measure, rig, stages_of
from tests.bench.conftest import TINY


def test_stages() -> None:
    """Each stage is timed, and the whole is answered 202."""
    rows = measure(TINY, blocks=2)["rows"]
    assert len(rows) == 8
    assert all(0 <= row[US] < 100_000 for row in rows.values())


async def test_stages_do_their_work() -> None:
    """Each block is as many requests as it says."""
    parts = rig()
    assert {stage() for stage in stages_of(parts).values()} == {BLOCK}
    await asyncio.sleep(0)
    assert all(sink.written.startswith(b"HTTP/1.1 202 ") for sink in parts.sinks)
