"""What durability costs: a 202 from the queue's memory against one from its disk.

A sync is shared by all that wait for it, which in a closed loop are as many as there are
connections: so both are measured with few and with many.
"""

from functools import partial
from typing import Any

from bench.peer_table import bodies
from bench.queue_server import queue
from bench.rounds import Figures, Plan, interleaved, warmed
from bench.servers import gateway

TIERS = ("memory", "fsynced")
FEW, MANY = 64, 256  # connections


def measure(plan: Plan) -> dict[str, Any]:
    """A row per tier, each on a queue of its own that is set up for it."""
    cases = {
        row(tier, connections): partial(one, tier, plan._replace(connections=connections))
        for connections in (FEW, MANY)
        for tier in TIERS
    }
    rows = interleaved(cases, plan.rounds)
    return {"title": "One event per request, by durability", "rows": rows}


def row(tier: str, connections: int) -> str:
    """How a row is named."""
    return f"{tier}, {connections} connections"


def one(tier: str, plan: Plan) -> Figures:
    """One round of one tier."""
    with queue(durable=tier == "fsynced") as own, gateway(own, ack=tier) as server:
        return warmed(server, own, bodies(), plan)
