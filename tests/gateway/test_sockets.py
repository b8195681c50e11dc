"""Sockets on real addresses: shared ports, taken ones, and what may lie at a Unix socket's path."""

import errno
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import read
from gateway import sockets
from gateway.sockets import bind_tcp, described, let_share, opened, unix_listener


@pytest.fixture
def path() -> Iterator[Path]:
    """A path for a socket, short enough for one."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "gateway.sock"


def close(*given: list[socket.socket]) -> None:
    """Close sockets."""
    for each in given:
        for one in each:
            one.close()


def test_shared_port() -> None:
    """Siblings listen on the port that their parent holds; all get connections, it gets none."""
    held = bind_tcp("127.0.0.1", 0)
    let_share(held)
    port = held[0].getsockname()[1]
    siblings = [bind_tcp("127.0.0.1", port, shared=True)[0] for _ in range(2)]
    for each in siblings:
        each.listen()
        each.setblocking(False)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    taken = [0, 0]
    for number, each in enumerate(siblings):
        while True:
            try:
                each.accept()[0].close()
            except BlockingIOError:
                break
            taken[number] += 1
    assert sum(taken) == 40
    assert all(taken)
    close(held, siblings, clients)


def test_taken_port() -> None:
    """A port that somebody listens on is refused, also if he would share it; the error names it."""
    for shared in (False, True):
        other = bind_tcp("127.0.0.1", 0, shared=shared)
        other[0].listen()
        port = other[0].getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: ") as raised:
            bind_tcp("127.0.0.1", port)
        assert raised.value.errno == errno.EADDRINUSE
        close(other)


def test_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with several addresses is listened on at each, on one port."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    bound = bind_tcp("both", 0)
    (first, port), second = (each.getsockname() for each in bound)
    assert (first, second) == ("127.0.0.1", ("127.0.0.2", port))
    close(bound)


def test_unix(path: Path) -> None:
    """The socket has its permissions before anybody gets in, and is removed at the end."""
    with unix_listener(path, 0o600) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            listener.accept()[0].close()
    assert not path.exists()


def test_stale(path: Path) -> None:
    """A file that a killed process has left is replaced."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    assert path.exists()
    with unix_listener(path, 0o660), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_answered(path: Path) -> None:
    """A file that somebody answers on stays, and is not taken."""
    with unix_listener(path, 0o660):
        with (
            pytest.raises(OSError, match="another process listens on it"),
            unix_listener(path, 0o660),
        ):
            pass
        assert path.exists()


def test_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes no connection now is in use all the same."""
    monkeypatch.setattr(sockets, "PROBE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(path))
        busy.listen(0)
        client.connect(str(path))  # its queue is full now
        with (
            pytest.raises(OSError, match="whether it is in use is unknown"),
            unix_listener(path, 0o660),
        ):
            pass
    assert path.exists()


def test_no_socket(path: Path) -> None:
    """A file that is no socket is never removed."""
    path.write_text("dear")
    with pytest.raises(OSError, match="is no socket"), unix_listener(path, 0o660):
        pass
    assert path.read_text() == "dear"


def test_no_directory(path: Path) -> None:
    """A path that cannot be made is named."""
    with (
        pytest.raises(OSError, match=r"cannot listen on .*/none/a.sock: No such file"),
        unix_listener(path.parent / "none/a.sock", 0o660),
    ):
        pass


def test_replaced(path: Path) -> None:
    """At the end another's file is left alone."""
    with unix_listener(path, 0o660):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_opened(path: Path) -> None:
    """TCP alone by default, the Unix socket alone if nothing else is said, or both."""
    for environ, expected in (
        ({"CONTOX_PORT": "0"}, ["host", "port"]),
        ({"CONTOX_UDS": str(path)}, ["uds"]),
        ({"CONTOX_UDS": str(path), "CONTOX_PORT": "0"}, ["host", "port", "uds"]),
    ):
        with opened(read(environ)) as found:
            assert sorted(described(found)) == expected
        assert all(each.fileno() == -1 for each in found)
    assert list(path.parent.iterdir()) == []
