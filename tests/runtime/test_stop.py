"""Signals to a process of the test's own, since they are about how a process ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

WAIT_S = 20
PROGRAM = """
import asyncio
from runtime.stop import stop_event

async def main():
    stop = stop_event(patient={patient})
    print("waits", stop.is_set(), flush=True)
    await stop.wait()
    print("stops", flush=True)
    await asyncio.sleep({linger_s})
    print("ends", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for its stop event; the parameter is how long it then lingers, and
    whether it is patient."""
    linger_s, patient = (
        request.param if isinstance(request.param, tuple) else (request.param, False)
    )
    program = PROGRAM.format(linger_s=linger_s, patient=patient)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waits False\n"
        yield process
        process.kill()


def said(process: "subprocess.Popen[bytes]") -> bytes:
    """The next line of the process."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("process", [0], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    """The first SIGTERM or SIGINT sets the event, and the process ends in its own way."""
    process.send_signal(number)
    assert said(process) == b"stops\n"
    assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize("process", [60], indirect=True)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_second_signal(process: "subprocess.Popen[bytes]", first: int, second: int) -> None:
    """A second signal, the same or the other, ends a process that takes its time to stop."""
    process.send_signal(first)
    assert said(process) == b"stops\n"
    process.send_signal(second)
    assert process.wait(WAIT_S) == -second


@pytest.mark.parametrize("process", [(1, True)], indirect=True)
def test_patient(process: "subprocess.Popen[bytes]") -> None:
    """A process whose parent passes signals on ends in its own way, however many come."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    assert (said(process), said(process)) == (b"stops\n", b"ends\n")
    assert process.wait(WAIT_S) == 0
