"""The sockets that a gateway listens on: TCP, a Unix socket, or both.

Several processes share a port by SO_REUSEPORT: each binds sockets of its own, and the system
spreads connections over those that listen; one that dies gets no further ones. Their parent holds
the port. A Unix socket cannot be bound twice: the parent listens, and its children inherit that.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.settings import Settings

LISTEN_BACKLOG = 1024
PROBE_S = 1.0


def bind_tcp(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Sockets on every address of a host, that do not listen yet; port 0 takes a free one.

    shared: siblings may bind the same port. Raises OSError that names the address.
    """
    found = _addresses(host, port)
    sockets: list[socket.socket] = []
    try:
        for family, address in found:
            port = port or (sockets[0].getsockname()[1] if sockets else 0)
            sockets.append(_bound(family, (address[0], port, *address[2:]), shared=shared))
    except OSError:
        _close(sockets)
        raise
    return sockets


def let_share(sockets: list[socket.socket]) -> None:
    """Let processes of this user bind the ports, too. They were bound alone, so that a port that
    somebody else listens on, be it with the same option, was found to be taken."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


@contextmanager
def unix_listener(path: Path, mode: int) -> Iterator[socket.socket]:
    """A listening Unix socket, whose file is removed at the end if it is still ours.

    A file that nobody answers on is replaced. Raises OSError if somebody does, or for what is no
    socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _locked(path.parent):  # no other gateway takes what we have just bound for stale
            _remove_stale(path)
            listener.bind(str(path))
            path.chmod(mode)  # before it listens: until then nobody gets in
            listener.listen(LISTEN_BACKLOG)
        ours = path.stat()
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {path}: {_why(error)}") from None
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if os.path.samestat(path.lstat(), ours):
                path.unlink()


@contextmanager
def opened(settings: Settings) -> Iterator[list[socket.socket]]:
    """The sockets of a gateway that is one process. Raises OSError."""
    sockets: list[socket.socket] = []
    if settings.port is not None:
        sockets = bind_tcp(settings.host, settings.port)
    try:
        if settings.uds:
            with unix_listener(Path(settings.uds), int(settings.uds_mode, 8)) as listener:
                yield [*sockets, listener]
        else:
            yield sockets
    finally:
        _close(sockets)


def described(sockets: list[socket.socket]) -> dict[str, str | int]:
    """Where sockets listen, as it is logged: host and port, or uds."""
    found: dict[str, str | int] = {}
    for each in sockets:
        name = each.getsockname()
        if each.family == socket.AF_UNIX:
            found["uds"] = name
        else:
            found.setdefault("host", name[0])
            found.setdefault("port", name[1])
    return found


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((each[0], each[4]) for each in found))  # type: ignore[misc]


def _bound(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        where = f"{address[0]} port {address[1]}"
        raise OSError(error.errno, f"cannot listen on {where}: {_why(error)}") from None
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket's file that nobody answers on."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, "the file is there, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:  # the only answer that says that nobody is there
            path.unlink()
            return
        except OSError as error:
            raise OSError(errno.EADDRINUSE, f"whether it is in use is unknown: {error}") from None
    raise OSError(errno.EADDRINUSE, "another process listens on it")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    opened_directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened_directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened_directory)


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
