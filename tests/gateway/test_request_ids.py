"""Ids of requests."""

import os

from gateway.request_ids import request_ids


def test_request_ids_of_forked_processes() -> None:
    """A forked process has request ids of its own."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        os.write(writer, request_ids.next().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs, ours = os.read(reader, 100).decode(), request_ids.next()
    os.close(reader)
    os.close(writer)
    assert len(theirs) == len(ours)
    assert theirs[:-8] != ours[:-8]


def test_some() -> None:
    """Many ids at once are the ones that would have come one by one."""
    prefix, number = request_ids.some(3)
    assert request_ids.next() == f"{prefix}{number + 3}"
