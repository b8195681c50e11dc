"""One event per request: this project, its peers and the floor, doing the same work.

Each checks timestamp and signature of a 774-byte event, appends it to the stream, and answers 202
when the queue has answered; the floor and nginx, which do less, are there for scale.
"""

import http.client
import json
import time
from contextlib import closing
from functools import partial
from typing import Any

from bench.lineup import PEERS_OF_THE_TABLE, Missing, Peer, started
from bench.load import BODIES, Sender, signed, single
from bench.processes import BenchError
from bench.queue_server import Queue, queue
from bench.rounds import Figures, Plan, interleaved, warmed
from bench.servers import Server, gateway
from core.kernels import NATIVE

OURS, IN_PYTHON = "contox-ingest gateway", "the same with nothing compiled"
REASON_MAX = 200  # characters of why a peer is missing


def measure(plan: Plan, peers: tuple[Peer, ...] = PEERS_OF_THE_TABLE) -> dict[str, Any]:
    """A row per server that could be started, and why the others could not."""
    missing: dict[str, str] = {}
    with queue(durable=False) as shared:
        cases = {OURS: partial(ours, shared, plan)}
        if NATIVE:
            cases[IN_PYTHON] = partial(ours, shared, plan, compiled=False)
        for peer in peers:
            try:
                with started(peer, shared):
                    pass
            except (Missing, BenchError) as error:  # not there, or does not start
                missing[peer.name] = " ".join(str(error).split())[:REASON_MAX]
            else:
                cases[peer.name] = partial(theirs, peer, shared, plan)
        rows = interleaved(cases, plan.rounds)
    return {
        "title": "One event per request, acknowledged from the queue's memory",
        "rows": rows,
        "missing": missing,
    }


def ours(shared: Queue, plan: Plan, *, compiled: bool = True) -> Figures:
    """One round of the gateway: its real command, memory tier, every default as it is."""
    with gateway(shared, ack="memory", compiled=compiled) as server:
        check_refusal(server)
        return warmed(server, shared, bodies(), plan)


def theirs(peer: Peer, shared: Queue, plan: Plan) -> Figures:
    """One round of a peer."""
    with started(peer, shared) as server:
        if peer.checks:
            check_refusal(server)
        return warmed(server, shared, bodies(), plan, appends=peer.appends)


def bodies() -> list[bytes]:
    """Distinct events of the size that is compared."""
    return [single(number) for number in range(BODIES)]


def check_refusal(server: Server) -> None:
    """Raises BenchError unless a wrong signature and an old one are a 401, a right one a 202."""
    now_s, sender = int(time.time()), server.senders[0]
    wrong = Sender(sender.project, "whsec_" + "0" * 32)
    for who, timestamp_s, expected in (
        (wrong, now_s, 401),
        (sender, now_s - 301, 401),
        (sender, now_s, 202),
    ):
        status = post(server, signed(who, single(0), timestamp_s))
        if status != expected:
            raise BenchError(f"{server.url} answered {status} where {expected} is right")


def post(server: Server, request: bytes) -> int:
    """The status that a whole request is answered with."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("POST", "/api/v2/ingest", body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    if answer.status == 202:
        json.loads(content)
    return answer.status
