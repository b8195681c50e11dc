"""One sending process: runs its share of a plan and tells its parent many times a second."""

import asyncio
import contextlib
import gc
import signal
import time
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event as Halt
from urllib.parse import urlsplit

import msgspec
import uvloop

from loadtest.arrivals import arrivals
from loadtest.client import Sender
from loadtest.hostile import Mixed, slow_bodies, vanishing_clients
from loadtest.measure import Snapshot, Tally
from loadtest.plan import Plan
from loadtest.requests import Requests

INTERVAL_S = 0.05  # so short that to tell it takes no time that shows: nothing is sent meanwhile


def main(encoded_plan: bytes, process: int, start_s: float, pipe: Pipe, halt: Halt) -> None:
    """The child's entry: sends Snapshots, encoded, until one is the last.

    start_s: when the load begins, by time.perf_counter(), which all processes share.
    halt: set by the parent to end early.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it sets `halt`
    plan = msgspec.json.decode(encoded_plan, type=Plan)
    gc.freeze()  # what was imported is not looked at again
    uvloop.run(_run(plan, process, start_s, pipe, halt))


async def _run(plan: Plan, process: int, start_s: float, pipe: Pipe, halt: Halt) -> None:
    tally = Tally(remember=plan.verify)
    requests = Requests(plan, process)
    sender = _sender(plan, process, requests, tally)
    aside = _aside(plan, requests, tally) if process == 0 else []
    sending = asyncio.create_task(sender.run(start_s))
    cpu_start_s = time.process_time()

    def snapshot() -> Snapshot:
        return Snapshot(
            process=process,
            counts=tally.counts,
            latencies=tally.take_latencies(),
            cpu_s=time.process_time() - cpu_start_s,
            elapsed_s=time.perf_counter() - start_s,
        )

    while not sending.done():
        await asyncio.wait([sending], timeout=INTERVAL_S)
        if halt.is_set():
            sender.halt()
        if not sending.done():
            pipe.send_bytes(msgspec.msgpack.encode(snapshot()))
    for task in aside:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task
    sending.result()
    last = snapshot()
    last.last, last.made = True, requests.made
    last.acknowledged = tally.acknowledged.to_bytes() if tally.acknowledged else b""
    pipe.send_bytes(msgspec.msgpack.encode(last))


def _sender(plan: Plan, process: int, requests: Requests, tally: Tally) -> Sender:
    """This process's share of the connections and of the rate."""
    seed = plan.seed * 1_000 + process
    schedule = None
    if plan.rate_s is not None:
        rate_s = plan.rate_s / plan.processes
        schedule = arrivals(plan.arrivals, rate_s, plan.duration_s, seed)
    hostile = plan.profile == "hostile"
    host, port = _address(plan)
    return Sender(
        plan,
        requests=Mixed(requests, share=plan.hostile_share, seed=seed) if hostile else requests,
        tally=tally,
        host=host,
        port=port,
        connections=max(1, plan.connections // plan.processes),
        schedule=schedule,
    )


def _aside(plan: Plan, requests: Requests, tally: Tally) -> list[asyncio.Task[None]]:
    """What a hostile run does on connections of its own."""
    if plan.profile != "hostile":
        return []
    host, port = _address(plan)
    return [
        asyncio.create_task(slow_bodies(host, port, requests, tally.counts.wrong)),
        asyncio.create_task(vanishing_clients(host, port, requests)),
    ]


def _address(plan: Plan) -> tuple[str, int]:
    url = urlsplit(plan.url)
    return url.hostname or "127.0.0.1", url.port or 80
