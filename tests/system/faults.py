"""The faults: each hurts a rig for a while, then heals it.

A fault is a context: entering injects it, leaving heals it. `meanwhile` is the answer that a probe
gets while it lasts, which shows that the fault is felt, or that it must not be.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from tests.system import clients
from tests.system.processes import Process, wait_until
from tests.system.rig import GROUP, STREAM, Rig

RESTART_S = 30
DELETE_IF_EMPTY = "return redis.call('XLEN', KEYS[1]) == 0 and redis.call('DEL', KEYS[1]) or 0"

Strike = Callable[[Rig], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault. Times in seconds; 0: it is over once it has been injected."""

    name: str
    strike: Strike
    short_s: float = 0
    long_s: float = 0
    rounds: int = 3  # in the long form
    meanwhile: int | None = None
    leaves: frozenset[str] = frozenset()  # final refusals that it may cause


def signalled(part: Callable[[Rig], Process], number: int) -> Strike:
    """A signal that ends a process; healed when it has been started again."""

    @contextmanager
    def strike(rig: Rig) -> Iterator[None]:
        process = part(rig)
        starts = process.starts
        process.signal(number)
        yield
        wait_until(lambda: process.starts > starts, RESTART_S, f"{process.name} to start again")

    return strike


def rolling(part: Callable[[Rig], Process]) -> Strike:
    """A restart with SIGTERM, with status 0, under producers that see 202 or no connection."""

    @contextmanager
    def strike(rig: Rig) -> Iterator[None]:
        process = part(rig)
        done, answers = threading.Event(), set[int]()

        def post() -> None:
            while not done.wait(0.01):
                answers.add(rig.producer.post(rig.producer.new_id()))

        poster = threading.Thread(target=post, daemon=True)
        poster.start()
        try:
            with signalled(part, signal.SIGTERM)(rig):
                yield
            wait_until(rig.ready, RESTART_S, "readiness after a restart")
        finally:
            done.set()
            poster.join()
        assert process.statuses[-1] == 0, f"{process.name} ended with {process.statuses[-1]}"
        assert answers <= {0, 202}, f"answers during a rolling restart: {sorted(answers)}"

    return strike


@contextmanager
def valkey_paused(rig: Rig) -> Iterator[None]:
    """Valkey stands still, its connections open."""
    rig.valkey.signal(signal.SIGSTOP)
    yield
    rig.valkey.signal(signal.SIGCONT)


@contextmanager
def queue_unreachable(rig: Rig) -> Iterator[None]:
    """Connections to the queue are reset, and new ones too."""
    rig.proxy.refuse()
    yield
    rig.proxy.admit()


@contextmanager
def cut_mid_append(rig: Rig) -> Iterator[None]:
    """Appends cut short at any byte, and one whose reply never comes."""
    random = Random(rig.url)
    rig.proxy.cut(lambda size: random.randrange(1, size), lambda size: size - 1, lambda size: size)
    yield
    wait_until(lambda: not rig.proxy.cuts_left, RESTART_S, "three appends to be cut")


@contextmanager
def group_destroyed(rig: Rig) -> Iterator[None]:
    """The consumer group is gone, with what it knew to be pending."""
    rig.redis.xgroup_destroy(STREAM, GROUP)
    yield


@contextmanager
def deleted_when_empty(rig: Rig) -> Iterator[None]:
    """The stream and its group are gone, at a moment at which it holds nothing.

    The gateway is paused until then, or there would hardly be such a moment.
    """
    deleted = rig.redis.register_script(DELETE_IF_EMPTY)
    rig.gateway.signal(signal.SIGSTOP)
    wait_until(lambda: bool(deleted(keys=[STREAM])), RESTART_S, "the stream to be empty once")
    rig.gateway.signal(signal.SIGCONT)
    yield


@contextmanager
def out_of_memory(rig: Rig) -> Iterator[None]:
    """The queue may not grow, since it has reached its maxmemory."""
    used: int = rig.redis.info("memory")["used_memory"]
    rig.redis.config_set("maxmemory", used // 2)
    yield
    rig.redis.config_set("maxmemory", 0)


@contextmanager
def store_stopped(rig: Rig) -> Iterator[None]:
    """The store takes nothing."""
    rig.store.stop()
    yield
    rig.store.start()


def disk_full(name: str) -> Strike:
    """One of the disks has no byte left."""

    @contextmanager
    def strike(rig: Rig) -> Iterator[None]:
        rig.disks[name].fill()
        yield
        rig.disks[name].empty()

    return strike


@contextmanager
def spool_full(rig: Rig) -> Iterator[None]:
    """The queue cannot be reached, and the spool's disk is full: nothing may be promised."""
    rig.disks["spool"].fill()
    with queue_unreachable(rig):
        yield
    rig.disks["spool"].empty()


@contextmanager
def clock_stepped(rig: Rig) -> Iterator[None]:
    """The gateway's clock goes an hour ahead, and comes back."""
    rig.step_clock("+3600")
    yield
    rig.step_clock("+0")


@contextmanager
def slow_heads(rig: Rig) -> Iterator[None]:
    """A hundred clients whose headers come byte by byte."""
    head, _ = clients.raw(rig.producer)
    with clients.dribbling(rig.port, 100, head[:30], head[30:]):
        yield


@contextmanager
def slow_bodies(rig: Rig) -> Iterator[None]:
    """A hundred clients whose bodies come byte by byte."""
    head, body = clients.raw(rig.producer)
    with clients.dribbling(rig.port, 100, head, body):
        yield


@contextmanager
def idle_clients(rig: Rig) -> Iterator[None]:
    """A thousand clients that say nothing."""
    with clients.idle(rig.port, 1_000):
        yield


@contextmanager
def vanishing_clients(rig: Rig) -> Iterator[None]:
    """Sixty clients that leave in the middle of a request."""
    clients.vanishing(rig.producer, rig.port, 60)
    yield


def gateway(rig: Rig) -> Process:
    """The rig's gateway."""
    return rig.gateway


def worker(rig: Rig) -> Process:
    """A worker of the rig's: the one that has been started least often."""
    return min(rig.workers, key=lambda process: process.starts)


def valkey(rig: Rig) -> Process:
    """The rig's queue."""
    return rig.valkey
