"""The events of a run: each can be made again from its number alone, so that nothing is remembered.

    id      := "lt-" run "-" process "-" number          number: 0, 1, 2, … in each process
    payload := {"n": number, "check": hash, "fill": "xxx…"}
    hash    := 16 hex digits of SHA-256 over the id

A stored event is unaltered if its payload is, to the byte, the one made from its id.
"""

import re
from hashlib import sha256

TYPE = "loadtest"
ID = re.compile(r"lt-([a-z0-9]{8})-(\d{1,3})-(\d{1,12})").fullmatch
PAYLOAD_FRAME = 50  # bytes of a payload around its fill, about


def event_id(run: str, process: int, number: int) -> str:
    """The id of one event."""
    return f"lt-{run}-{process}-{number}"


def payload(identity: str, number: int, payload_bytes: int) -> str:
    """The payload's JSON text, about `payload_bytes` long."""
    check = sha256(identity.encode()).hexdigest()[:16]
    fill = "x" * max(0, payload_bytes - PAYLOAD_FRAME)
    return f'{{"n":{number},"check":"{check}","fill":"{fill}"}}'


def event(run: str, process: int, number: int, payload_bytes: int) -> str:
    """The whole event's JSON text."""
    identity = event_id(run, process, number)
    content = payload(identity, number, payload_bytes)
    return f'{{"id":"{identity}","event":"{TYPE}","payload":{content}}}'


def parse_id(identity: str, run: str) -> tuple[int, int] | None:
    """(process, number) of an event of this run; None for any other."""
    match = ID(identity)
    if match is None or match[1] != run:
        return None
    return int(match[2]), int(match[3])
