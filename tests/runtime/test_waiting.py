"""What a process says and does while it waits at its start."""

import asyncio

import pytest

from runtime.waiting import told


async def test_says_why_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is logged, but not at every attempt."""
    on_wait = told("store", asyncio.Event())
    for _ in range(5):
        on_wait("connection refused")
    assert "".join(capsys.readouterr()).count("connection refused") == 1


async def test_stop() -> None:
    """A stop ends the process with status 0."""
    stop = asyncio.Event()
    on_wait = told("store", stop)
    stop.set()
    with pytest.raises(SystemExit) as ended:
        on_wait("connection refused")
    assert ended.value.code == 0
