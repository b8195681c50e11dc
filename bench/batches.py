"""Batches: what an event costs when 1, 10, 100 or 1,000 of them come in one request."""

from functools import partial
from typing import Any

from bench.load import batch
from bench.queue_server import Queue, queue
from bench.rounds import CPU, Figures, Plan, interleaved, warmed
from bench.servers import Server, gateway

SIZES = (1, 10, 100, 1000)
BODIES = 16  # distinct ones of each size
PER_EVENT = "CPU us/event"


def measure(plan: Plan, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """A row per size. The events are small, about 110 bytes of JSON each."""
    with queue(durable=False) as shared, gateway(shared, ack="memory") as server:
        warmed(server, shared, [batch(sizes[0], 0)], plan._replace(seconds=1))
        cases = {
            f"{size:,} per request": partial(one, server, shared, size, plan) for size in sizes
        }
        rows = interleaved(cases, plan.rounds)
    return {"title": "Batches of small events, memory tier", "rows": rows}


def one(server: Server, shared: Queue, size: int, plan: Plan) -> Figures:
    """One round of one size."""
    bodies = [batch(size, number) for number in range(BODIES)]
    figures = warmed(server, shared, bodies, plan._replace(warm_s=min(1, plan.warm_s)))
    events_s = figures["requests/s"] * size
    return {PER_EVENT: figures[CPU] / size, "events/s": events_s, **figures}
