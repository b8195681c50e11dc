"""A gateway of several processes: how many, what each gets of the limits, what they share.

The parent holds the port and the Unix socket, and serves nothing; runtime/processes.py keeps its
children running. Each child is a gateway with a publisher, caches and connections of its own.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from core.settings import Settings
from gateway import sockets
from gateway.server import CUT_S, FINISH_S, SHUTDOWN_S
from gateway.spool_orphans import directory_of
from runtime.figures import Slots, retire
from runtime.processes import Family

SPOOL_BYTES_LEAST = 1 << 20
STOP_MARGIN_S = 20  # beyond what a stop may take: for the spool's last commit, and a slow machine
CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


Opened = AbstractContextManager[list[socket.socket]]


@dataclass(frozen=True)
class Place:
    """Which of a gateway's processes one is, and what it has from its parent."""

    number: int = 0
    count: int = 1
    slots: Slots | None = None
    sockets: Callable[[Settings], Opened] = sockets.opened


Serve = Callable[[Settings, Place, Callable[[], None]], None]


def count_of(settings: Settings, cores: Callable[[], int] | None = None) -> int:
    """How many processes the settings mean."""
    if settings.processes:
        return settings.processes
    return 1 if settings.port is None or _is_loopback(settings.host) else (cores or usable_cores)()


def usable_cores(cpu_max: Path = CGROUP_CPU_MAX) -> int:
    """The cores that this process may use, as its affinity and its container's quota say."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
        return min(cores, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no quota, or not Linux's cgroup v2
        return cores


def share_of(settings: Settings, number: int, count: int) -> Settings:
    """The settings of one process: a gateway's bounds are divided, its spool is apart."""
    whole = max(settings.decoded_bytes_max, settings.body_bytes_max)
    return replace(
        settings,
        connections_max=-(-settings.connections_max // count),
        inflight_bytes_max=max(-(-settings.inflight_bytes_max // count), whole),
        spool_bytes_max=max(-(-settings.spool_bytes_max // count), SPOOL_BYTES_LEAST),
        spool_dir=directory_of(settings.spool_dir, number),
    )


def run_all(settings: Settings, count: int, serve: Serve, told: tuple[type[Exception], ...]) -> int:
    """Run a gateway as `count` processes until it is told to stop; returns its status.

    serve: runs one, given its settings, its place and what to call once it listens.
    Raises OSError if it cannot listen, StartError; see runtime.processes.Family.
    """
    slots = Slots(count)
    with _held(settings) as (port, unix):

        def child(number: int, works: Callable[[], None]) -> None:
            own = share_of(replace(settings, port=port), number, count)
            serve(own, Place(number, count, slots, partial(_shared, unix=unix)), works)

        return Family(
            count,
            child,
            told=told,
            retire=partial(retire, "gateway", slots),
            on_stop=unix.close if unix else lambda: None,  # the children's copies still accept
            stop_timeout_s=settings.stop_grace_s + FINISH_S + CUT_S + SHUTDOWN_S + STOP_MARGIN_S,
        ).run()


@contextmanager
def _held(settings: Settings) -> Iterator[tuple[int | None, socket.socket | None]]:
    """The port, held for the children, and the Unix socket that they inherit."""
    mode = int(settings.uds_mode, 8)
    unix = sockets.unix_listener(Path(settings.uds), mode) if settings.uds else nullcontext()
    tcp = [] if settings.port is None else sockets.bind_tcp(settings.host, settings.port)
    sockets.let_share(tcp)
    try:
        with unix as listener:
            yield (tcp[0].getsockname()[1] if tcp else None), listener
    finally:
        for each in tcp:
            each.close()


@contextmanager
def _shared(settings: Settings, unix: socket.socket | None) -> Iterator[list[socket.socket]]:
    """What a child listens on: a port with its siblings, and the inherited socket."""
    port = settings.port
    tcp = [] if port is None else sockets.bind_tcp(settings.host, port, shared=True)
    opened = [*tcp, unix] if unix else tcp
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
