"""Where the time of a request goes: the gateway's own code stage by stage, without sockets.

The parts are the gateway's real ones; what stands in for transports and the queue's server takes
bytes and answers at once. The best of many short blocks counts, which other work on the machine
disturbs least: these are times of a warm processor, and below what the same code takes between two
system calls.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple, cast

import uvloop

from bench.load import Sender, signed, single
from bench.rounds import Plan
from core.auth import keyed
from core.body import parse_one
from core.kernels import HeadTemplate
from core.metrics import Meter
from core.settings import read
from gateway.admission import Admission, _verify
from gateway.connections import Connections
from gateway.endpoint import Endpoint
from gateway.head_template import template_of
from gateway.keyring import Credentials, Keyring
from gateway.lane import Lane
from gateway.ones import Ones, Waiting
from gateway.plain_head import END, PlainHead, read_plain
from gateway.publisher import Publisher
from gateway.quotas import Quotas
from gateway.sessions import Sessions, _Open
from gateway.standings import Standings
from gateway.tier import Tier
from gateway.usual import Usual
from gateway.wire import Wire

CONNECTIONS = 16
BLOCK = 64  # requests
BLOCKS = 1_500
SENDER = Sender("proj_01HF7YAT00ABCDEFGHJKMNPQRS", "whsec_" + "0" * 64)
SESSION = "sess_01HF7YAT00ABCDEFGHJKMNPQRS"
LANDED = b"*2\r\n:1\r\n:1\r\n"  # the queue's reply to a group of one project
US = "us/request"


class Sink:
    """Takes what is written; stands in for a transport."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep the last one."""
        self.written = data

    def is_closing(self) -> bool:
        """It never does."""
        return False

    def set_protocol(self, _protocol: object) -> None:
        """Nothing comes in."""


class Room:
    """A backlog with room."""

    full = ""


class Untold:
    """A connection of nobody."""

    def told(self, response: bytes, now_s: float) -> None:
        """See gateway.ones.Waiting."""


class Rig(NamedTuple):
    """A gateway's parts, and connections to it."""

    admission: Admission
    endpoint: Endpoint
    publisher: Publisher
    connections: Connections
    lanes: list[Lane]
    sinks: list[Sink]


def measure(_plan: Plan, blocks: int = BLOCKS) -> dict[str, Any]:
    """A row per stage, in the order of the path; each the best of `blocks`."""
    rows = uvloop.run(_measure(blocks))
    return {"title": "Where the time of one event goes, without sockets", "rows": rows}


async def _measure(blocks: int) -> dict[str, dict[str, float]]:
    stages = stages_of(rig())
    return {name: {US: best(stage, blocks)} for name, stage in stages.items()}


def best(stage: Callable[[], int], blocks: int) -> float:
    """CPU microseconds per request. stage: one block, which tells how many requests it was."""
    found = float("inf")
    for _ in range(blocks):
        started = time.process_time()
        requests = stage()
        found = min(found, (time.process_time() - started) / requests)
    return found * 1e6


def rig() -> Rig:
    """A gateway that knows the project, connected to a server that is not there."""
    settings, meter = read({"CONTOX_ACK": "memory"}), Meter("gateway")
    nothing = cast("Any", None)  # what a warm request does not touch
    standings = Standings(settings.partitions)
    keyring = Keyring(
        cache=nothing,
        projects=nothing,
        sealer=nothing,
        ttl_s=1,
        entries_max=1,
        meter=meter,
        standings=standings,
    )
    keys = Credentials("active", ((keyed(SENDER.secret), None),))
    keyring._known.put(SENDER.project, keys, float("inf"))  # noqa: SLF001
    sessions = Sessions(nothing, entries_max=1, standings=standings)
    sessions._open[SENDER.project] = _Open(SESSION, 1 << 60, provisional=False)  # noqa: SLF001
    publisher = Publisher(nothing, settings, meter, standings)
    publisher._tier, publisher.away = Tier("memory", (), bool), ""  # noqa: SLF001
    publisher._witness.ids = ["0" * 32] * settings.partitions  # noqa: SLF001
    transport = type("", (), {"transport": Sink()})
    connection = cast("Any", type("", (), {"_writer": transport}))
    publisher._wire = Wire(connection, 60)  # noqa: SLF001
    admission = Admission(
        settings,
        keyring=keyring,
        sessions=sessions,
        queue=publisher,
        backlog=cast("Any", Room()),
        quotas=Quotas(nothing, settings),
        standings=standings,
    )
    endpoint = Endpoint(settings, admission=admission, meter=meter)
    connections = Connections(settings, meter)
    sinks = [Sink() for _ in range(CONNECTIONS)]
    lanes = [Lane(endpoint, connections, nothing) for _ in sinks]
    for lane, sink in zip(lanes, sinks, strict=True):
        lane.connection_made(cast("Any", sink))
    parts = Rig(admission, endpoint, publisher, connections, lanes, sinks)
    usual = _usual(parts, publisher, endpoint.accepted_ones)
    connections.ready.usual = usual.take
    return parts


def stages_of(parts: Rig) -> dict[str, Callable[[], int]]:
    """Each stage as a block of requests."""
    endpoint, sinks = parts.endpoint, parts.sinks
    now_ms = int(time.time() * 1000)
    requests = [signed(SENDER, single(n), now_ms // 1000) for n in range(BLOCK)]
    split = [request.partition(END) for request in requests]
    heads = [head + end for head, end, _ in split]
    plain = [cast("PlainHead", read_plain(head))[0] for head in heads]
    asked = [(head, body) for head, (_, _, body) in zip(plain, split, strict=True)]
    keys = cast("Credentials", parts.admission._keyring.cached(SENDER.project))  # noqa: SLF001
    limits = read({}).limits()
    template = cast("HeadTemplate", template_of(heads[0], plain[0]))
    whole = _whole(parts, requests)

    assert whole() == BLOCK
    assert whole() == BLOCK  # the project is known from now on
    assert all(sink.written.startswith(b"HTTP/1.1 202 ") for sink in sinks)
    kept = Kept()
    usual = _usual(parts, kept, lambda _ones, _durability: None)
    arrived = [(cast("Waiting", Untold()), head, body) for head, body in asked]
    assert usual.take(arrived) == []
    bundle = kept.bundle
    return {
        "a connection's first head: httptools": each(read_plain, heads),
        "a head like the one before": each(lambda one: template.read(one, 0), heads),
        "HMAC, compared": each(lambda one: _verify(keys, one[0], one[1], now_ms), asked),
        "JSON, checked": each(lambda one: parse_one(one[1], limits), asked),
        "all that is checked, and the entry": partial(_all_of, usual.take, arrived),
        f"into a group of {BLOCK}, sent, landed": partial(_appended, parts, bundle),
        "counted, answered": partial(_answered, endpoint, bundle),
        f"the whole path, {CONNECTIONS} connections": whole,
    }


class Kept:
    """Keeps the last bundle; stands in for a queue."""

    bundle: Any = None

    def put_all(self, bundle: Any) -> None:
        """See core.ports.EventQueue."""
        self.bundle = bundle


def _usual(parts: Rig, queue: Any, told: Callable[[Ones, str], None]) -> Usual:
    """What takes the usual requests of the rig's project."""
    settings = read({"CONTOX_ACK": "memory"})
    return Usual(
        settings,
        standings=parts.admission._standings,  # noqa: SLF001
        queue=queue,
        backlog=cast("Any", Room()),
        quotas=Quotas(queue, settings),
        told=told,
    )


def _all_of(take: Callable[[list[Any]], list[Any]], arrived: list[Any]) -> int:
    """All of them at once."""
    assert take(arrived) == []
    return len(arrived)


def each(stage: Callable[[Any], object], items: list[Any]) -> Callable[[], int]:
    """A stage of each of these as a block."""

    def block() -> int:
        for item in items:
            stage(item)
        return len(items)

    return block


def _appended(parts: Rig, bundle: Any) -> int:
    """A bundle as one group."""
    parts.publisher.put_all(bundle)
    parts.publisher._take_off()  # noqa: SLF001
    parts.publisher._wire.data_received(LANDED)  # type: ignore[union-attr]  # noqa: SLF001
    return cast("int", bundle.entries)


def _answered(endpoint: Endpoint, bundle: Any) -> int:
    """All of a bundle."""
    endpoint.accepted_ones(bundle, "memory")
    return cast("int", bundle.entries)


def _whole(parts: Rig, requests: list[bytes]) -> Callable[[], int]:
    """Requests come in on all connections, and are answered."""
    publisher, connections, lanes = parts.publisher, parts.connections, parts.lanes
    rounds: Iterator[list[bytes]] = cycle(
        requests[at : at + CONNECTIONS] for at in range(0, BLOCK, CONNECTIONS)
    )

    def block() -> int:
        for _ in range(BLOCK // CONNECTIONS):
            for lane, request in zip(lanes, next(rounds), strict=True):
                lane.data_received(request)
            connections.ready._serve()  # noqa: SLF001
            publisher._take_off()  # noqa: SLF001
            publisher._wire.data_received(LANDED)  # type: ignore[union-attr]  # noqa: SLF001
        return BLOCK

    return block
