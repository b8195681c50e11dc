"""Gateways that are processes of their own, on one queue and one store."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port
from tests.raw_http import exchange

WAIT_S = 30
SCRIPT = str(Path(sys.executable).parent / "contox-ingest")


@contextmanager
def gateways(environ: dict[str, str], directory: Path, count: int = 2) -> Iterator[list[int]]:
    """The ports of so many gateways; each must end with status 0."""
    ports = [free_port() for _ in range(count)]
    own = {k: v for k, v in os.environ.items() if not k.startswith("CONTOX_")}
    more = {"CONTOX_API_REQUESTS_MINUTE": "1000000", "CONTOX_LOG_LEVEL": "warning"}
    processes = [
        subprocess.Popen(
            [SCRIPT, "gateway"],
            cwd=directory,
            env={**own, **more, **environ, "CONTOX_PORT": str(port)},
        )
        for port in ports
    ]
    try:
        yield ports
    finally:
        for process in processes:
            process.terminate()
        statuses = [process.wait(WAIT_S) for process in processes]
    assert statuses == [0] * count


async def is_up(port: int) -> bool:
    """Whether a gateway serves here."""
    try:
        reply = await exchange(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    except OSError:
        return False
    return reply.status == 200
