"""A secret rotated under load: is anything refused while both verify, and all that is old after it?

Requests fall due at a fixed rate. Up to the rotation they are signed with the old secret, then with
either in turn; half a second before the grace ends producers have the new one alone; after it
every second request is signed with the old one still, and must be a 401. The rotation is the API's,
asked of one of several processes. Usage: python -m bench.rotation [RATE] [GRACE_S].
"""

import asyncio
import json
import sys
import time
from datetime import datetime
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import msgspec
import uvloop

from bench.queue_server import queue
from bench.servers import Server, gateway
from loadtest.arrivals import arrivals
from loadtest.client import Sender
from loadtest.measure import Tally
from loadtest.plan import Plan
from loadtest.report import commit, processor
from loadtest.requests import Request, Requests

RATE_S, GRACE_S = 5_000, 10
PROCESSES = 2
BEFORE_S, AFTER_S = 2.0, 3.0  # of load, around the grace
SWITCHED_S = 0.5  # before its end: when the last producer has the new secret
OVER_S = 0.1  # after it
REFUSED = "401 unauthorized"
TOKEN = "operator-of-the-benchmark-0123456789"  # noqa: S105 - of a server that ends with this


class Rotating:
    """The requests of producers whose project's secret is rotated in the middle."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._old = Requests(plan, 0)
        self._new: Requests | None = None
        self._ends_s = 0.0  # Unix time
        self._turn = False
        self.signed = {"old": 0, "new": 0, "old, after the grace": 0}

    def rotated(self, secret: str, ends_s: float) -> None:
        """There is a new secret, and the old one verifies until then (Unix time)."""
        self._new = Requests(msgspec.structs.replace(self._plan, secret=secret), 1)
        self._ends_s = ends_s

    def next(self) -> Request:
        """See loadtest.client.Source."""
        now_s = time.time()
        self._turn = not self._turn
        if self._new is None or (self._turn and now_s < self._ends_s - SWITCHED_S):
            self.signed["old"] += 1
            return self._old.next()
        if self._turn and now_s > self._ends_s + OVER_S:
            self.signed["old, after the grace"] += 1
            return msgspec.structs.replace(self._old.next(), expect=REFUSED, name="old secret")
        self.signed["new"] += 1
        return self._new.next()


def rotate(server: Server, grace_s: int) -> dict[str, Any]:
    """Rotate the secret of the server's project; what the API answers."""
    request = HttpRequest(
        f"http://127.0.0.1:{server.port}/api/projects/{server.senders[0].project}/rotate",
        json.dumps({"graceSeconds": grace_s}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
    )
    with urlopen(request) as answer:  # noqa: S310 - our own gateway
        content: dict[str, Any] = json.load(answer)
    return content


async def load(server: Server, rate_s: float, grace_s: int) -> dict[str, Any]:
    """Send, rotate, send on; what came back."""
    sender = server.senders[0]
    duration_s = BEFORE_S + grace_s + AFTER_S
    plan = Plan(
        url=server.url, project=sender.project, secret=sender.secret, run="rotation",
        rate_s=rate_s, duration_s=duration_s,
    )  # fmt: skip
    requests, tally = Rotating(plan), Tally(remember=False)
    client = Sender(
        plan,
        requests=requests,
        tally=tally,
        host="127.0.0.1",
        port=server.port,
        connections=plan.connections,
        schedule=arrivals("constant", rate_s, duration_s, 0),
    )
    running = asyncio.create_task(client.run(time.perf_counter() + 0.5))
    await asyncio.sleep(0.5 + BEFORE_S)
    told = await asyncio.to_thread(rotate, server, grace_s)
    ends_s = datetime.fromisoformat(told["previousExpiresAt"]).timestamp()
    requests.rotated(told["hmacSecret"], ends_s)
    await running
    counts = tally.counts
    return {
        "rate_s": rate_s,
        "signed": requests.signed,
        "accepted": counts.accepted,
        "answers": counts.refused,
        "wrong": counts.wrong,
        "lost": counts.unknown + counts.unanswered + counts.skipped,
    }


def measure(rate_s: float = RATE_S, grace_s: int = GRACE_S) -> dict[str, Any]:
    """One rotation, on a gateway of several processes."""
    settings = {"CONTOX_OPERATOR_TOKEN": TOKEN, "CONTOX_PROCESSES": str(PROCESSES)}
    with queue(durable=False) as server, gateway(server, ack="memory", settings=settings) as target:
        return uvloop.run(load(target, rate_s, grace_s))


def main() -> None:
    """Print what came back, as JSON; status 1 if anything was refused that must not be."""
    given = [int(text) for text in sys.argv[1:]]
    rate_s, grace_s = (*given, *(RATE_S, GRACE_S)[len(given) :])
    found = measure(rate_s, grace_s)
    sys.stdout.write(f"{processor()}, commit {commit()}, {PROCESSES} processes\n")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if is_right(found) else 1)


def is_right(found: dict[str, Any]) -> bool:
    """Whether all that was signed rightly was accepted, and all that was old refused."""
    signed = found["signed"]
    return bool(
        found["accepted"] == signed["old"] + signed["new"]
        and found["answers"].get(REFUSED, 0) == signed["old, after the grace"] > 0
        and len(found["answers"]) == 1
        and not found["wrong"]
        and not found["lost"]
    )


if __name__ == "__main__":
    main()
