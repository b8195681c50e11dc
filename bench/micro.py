"""The parts of the core that every request pays for, each on its own.

CPU time of this process over many calls; the result of the last call is looked at, so that what is
timed is what it should be.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.load import Sender, batch, signed, single
from bench.rounds import Figures, Plan, interleaved
from core.auth import keyed, parse_timestamp, verify
from core.body import Batch, Form, Limits, parse
from core.codec import Entry, encode_header
from core.compression import Encoding
from core.head import read_head
from core.ids import event_id

NOW_S = 1_700_000_000
CALLS = 20_000
SENDER = Sender("proj_01HF7YAT00ABCDEFGHJKMNPQRS", "whsec_" + "0" * 64)
US = "us/call"


def measure(plan: Plan, calls: int = CALLS) -> dict[str, Any]:
    """A row per part; `calls` of each in a round."""
    cases = {
        name: partial(timed, part, max(1, calls // share))
        for name, (part, share) in parts().items()
    }
    return {"title": "Parts of the core", "rows": interleaved(cases, plan.rounds)}


def timed(part: Callable[[], object], calls: int) -> Figures:
    """CPU microseconds of one call."""
    started = time.process_time()
    for _ in range(calls):
        result = part()
    spent = time.process_time() - started
    assert result
    return {US: spent / calls * 1e6, "calls": calls}


def parts() -> dict[str, tuple[Callable[[], object], int]]:
    """Each part with a call of it, and how much dearer than the others it is, about."""
    body, hundred = single(0), batch(100, 0)
    lines = signed(SENDER, body, NOW_S).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    headers = [(name, value.strip()) for name, _, value in (x.partition(b":") for x in lines)]
    head, keys = read_head(headers), [keyed(SENDER.secret)]
    timestamp, signature = head.timestamp or b"", head.signature or b""
    mac = verify(keys, timestamp=timestamp, body=body, signature=signature)
    entry = Entry(
        project=SENDER.project,
        session="sess_01HF7YAT00ABCDEFGHJKMNPQRS",
        received_ms=NOW_S * 1000,
        form=Form.SINGLE,
        encoding=Encoding.IDENTITY,
        count=1,
        timestamp_s=NOW_S,
        mac=mac,
        body=body,
    )

    def parsed(text: bytes) -> Batch:
        kind = head.content_type
        return parse(text, content_type=kind, encoding=Encoding.IDENTITY, limits=Limits())

    return {
        "core.head.read_head": (lambda: read_head(headers), 1),
        "core.auth.parse_timestamp": (
            lambda: parse_timestamp(timestamp, now_s=NOW_S, window_s=300),
            1,
        ),
        "core.auth.verify, 774 bytes": (
            lambda: verify(keys, timestamp=timestamp, body=body, signature=signature),
            1,
        ),
        "core.body.parse, 774 bytes": (lambda: parsed(body), 1),
        "core.body.parse, batch of 100": (lambda: parsed(hundred), 20),
        "core.ids.event_id": (
            lambda: event_id(SENDER.project, timestamp_s=NOW_S, mac=mac),
            1,
        ),
        "core.codec.encode_header": (lambda: encode_header(entry), 1),
    }
