"""Clients that misbehave: slow ones, idle ones, and such as vanish in the middle of a request."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.producer import Producer

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
DRIBBLE_S = 0.2


def connected(port: int) -> socket.socket:
    """A connection to a gateway on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def vanish(client: socket.socket) -> None:
    """Close with a reset, as a client that is gone."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def raw(producer: Producer) -> tuple[bytes, bytes]:
    """The head and the body of a request as bytes."""
    headers, body = producer.request(producer.new_id())
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    return ("POST /api/v2/ingest HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode(), body


@contextmanager
def idle(port: int, count: int) -> Iterator[None]:
    """Clients that connect and say nothing."""
    clients = [connected(port) for _ in range(count)]
    yield
    for client in clients:
        client.close()


@contextmanager
def dribbling(port: int, count: int, at_once: bytes, slowly: bytes) -> Iterator[None]:
    """Clients that send the first part at once, and of the second a byte now and then."""
    clients = [connected(port) for _ in range(count)]
    for client in clients:
        client.sendall(at_once)
    stop = threading.Event()

    def dribble() -> None:
        for position in range(len(slowly)):
            if stop.wait(DRIBBLE_S):
                return
            for client in clients:
                with contextlib.suppress(OSError):  # the gateway may have had enough
                    client.sendall(slowly[position : position + 1])

    thread = threading.Thread(target=dribble, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()
    for client in clients:
        vanish(client)


def vanishing(producer: Producer, port: int, count: int) -> None:
    """Clients that leave in the middle of the head, of the body, or before the answer."""
    for number in range(count):
        head, body = raw(producer)
        whole = head + body
        cut = (len(head) // 2, len(head) + len(body) // 2, len(whole))[number % 3]
        client = connected(port)
        client.sendall(whole[:cut])
        vanish(client)
