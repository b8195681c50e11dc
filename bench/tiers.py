"""What durability costs: a 202 from the queue's memory against one from its disk."""

from functools import partial
from typing import Any

from bench.peer_table import bodies
from bench.queue_server import queue
from bench.rounds import Figures, Plan, interleaved, warmed
from bench.servers import gateway

TIERS = ("memory", "fsynced")


def measure(plan: Plan) -> dict[str, Any]:
    """A row per tier, each on a queue of its own that is set up for it."""
    rows = interleaved({tier: partial(one, tier, plan) for tier in TIERS}, plan.rounds)
    return {"title": "One event per request, by durability", "rows": rows}


def one(tier: str, plan: Plan) -> Figures:
    """One round of one tier."""
    with queue(durable=tier == "fsynced") as own, gateway(own, ack=tier) as server:
        return warmed(server, own, bodies(), plan)
