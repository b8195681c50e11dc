"""Runs with checks of their own: an outage of the store, and losses that must not be hidden.

Entries are made to be lost by pausing the worker, so that acknowledged events are in the queue
only, and then taking them from there. The proof must report that; and so must the product.
"""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.system.campaign import Part, Tell, recovered
from tests.system.load import Load
from tests.system.processes import wait_until
from tests.system.rig import STREAM, Rig, Wanted
from tests.system.stores import Sqlite

ENTRIES = 100  # acknowledged and not stored, before they are taken away
TOLD_S = 30  # for a metric to show, beside other tests
RATE = 100
BATCH = 20
EVENTLY = ("--profile", "batch", "--batch-size", str(BATCH), "--rate", str(RATE))
SINGLY = ("--profile", "single", "--rate", "200", "--connections", "8")
MEMORY = {"CONTOX_ACK": "memory"}


def scenario(name: str, run: Callable[[Part, bool], None], tell: Tell, *, long: bool) -> Part:
    """Run one, and time it."""
    part, begun_s = Part(name), time.monotonic()
    run(part, long)
    part.seconds = round(time.monotonic() - begun_s, 1)
    tell(f"{name}: {part.wrong or 'holds'}")
    return part


@contextmanager
def loaded(rig: Rig, name: str, *options: str, retries: int = 10_000) -> Iterator[Load]:
    """A load that is gone afterwards."""
    load = Load(rig, name, *options, retries=retries)
    try:
        yield load
    finally:
        load.end()


def outage(part: Part, long: bool) -> None:
    """The store takes nothing for a while, at 2,000 events a second on one connection."""
    lasting_s = 60.0 if long else 5.0
    with (
        Rig(Wanted()) as rig,
        loaded(rig, "outage", *EVENTLY, "--connections", "1", retries=0) as load,
    ):
        time.sleep(1)
        rig.store.stop()
        time.sleep(lasting_s)
        built = rig.backlog()
        rig.store.start()
        drained_s = drain(rig, lasting_s)
        left = rig.backlog() > ENTRIES
        time.sleep(0.5)
        load.halt()
        report = load.report()
        assert isinstance(rig.store, Sqlite)
        stored = rig.store.in_order(report["plan"]["run"])
    built_s, net_s = built / lasting_s, built / drained_s
    numbers = [int(event_id.rpartition("-")[2]) for event_id in stored]
    counts = report["counts"]
    offered_s = counts["offered"] * BATCH / report["durationS"]
    part.figures = {
        "events per second": round(offered_s),
        "outage, s": lasting_s,
        "backlog, entries": built,
        "built, entries/s": round(built_s, 1),
        "drained beside the load, entries/s": round(net_s, 1),
        "drained in, s": round(drained_s, 2),
    }
    if long:  # rates are measured on a machine of its own, not beside other tests
        part.check("the rate was kept up", offered_s > 0.95 * RATE * BATCH, offered_s)
        part.check("the backlog grew as the load", built_s > 0.8 * RATE, part.figures)
        part.check("the backlog drained twice as fast as it was built", net_s >= 2 * built_s, net_s)
    part.check("no answer but 202", not counts["refused"] and not counts["unknown"], counts)
    part.check("the backlog was drained", not left, left)
    part.check("the order was kept", numbers == sorted(numbers), "numbers went back")
    part.check("nothing acknowledged is lost", report["verify"]["holds"], report["verify"])


def drain(rig: Rig, lasting_s: float) -> float:
    """Wait until the backlog is gone; the seconds from when it began to shrink."""
    before, begun_s = rig.backlog(), time.monotonic()
    until_s = begun_s + 10 + 2 * lasting_s
    while (now := rig.backlog()) > RATE / 10 and time.monotonic() < until_s:
        if now >= before:
            before, begun_s = now, time.monotonic()
        time.sleep(0.02)
    return max(0.01, time.monotonic() - begun_s)


@contextmanager
def worker_paused(rig: Rig) -> Iterator[None]:
    """Acknowledged events gather in the queue, and are stored by nobody."""
    rig.workers[0].signal(signal.SIGSTOP)
    wait_until(lambda: rig.backlog() >= ENTRIES, 30, "a backlog")
    yield
    rig.workers[0].signal(signal.SIGCONT)


def kill_queue(rig: Rig, *, emptied: bool = False) -> None:
    """SIGKILL Valkey, and wait until it runs again; emptied: without what it had on disk."""
    rig.valkey.hold()
    rig.valkey.signal(signal.SIGKILL)
    wait_until(rig.valkey.down, 10, "Valkey to be dead")
    if emptied:
        shutil.rmtree(rig.directory / "queue" / "appendonlydir")
    rig.valkey.release()


def after(rig: Rig, load: Load) -> dict[str, int]:
    """Wait until the stack works again, end the load, and return the proof's counts."""
    recovered(rig)
    time.sleep(0.5)
    load.halt()
    found: dict[str, int] = load.report()["verify"]
    return found


def told(rig: Rig, metric: str) -> bool:
    """Whether a metric rises above 0 within a bounded time."""
    with suppress(TimeoutError):
        wait_until(lambda: rig.metric(metric) > 0, TOLD_S, metric)
        return True
    return False


def emptied_queue(part: Part, long: bool) -> None:
    """Valkey comes back without its data, under load: a loss that is told."""
    with Rig(Wanted()) as rig, loaded(rig, "emptied", *SINGLY) as load:
        with worker_paused(rig):
            kill_queue(rig, emptied=True)
        recovered(rig)
        forgotten = told(rig, "events_forgotten_total")
        resets = told(rig, "queue_resets_total")
        verify = after(rig, load)
    part.figures = {"lost": verify["lost"], "acknowledged": verify["acknowledged"]}
    part.check("the proof reports the loss", verify["lost"] > 0, verify)
    part.check("the gateway reports it (events_forgotten_total)", forgotten)
    part.check("the worker reports it (queue_resets_total)", resets)


def deleted_stream(part: Part, long: bool) -> None:
    """The stream is deleted with entries in it: the worker goes on, and the loss is told."""
    with Rig(Wanted()) as rig, loaded(rig, "deleted", *SINGLY) as load:
        with worker_paused(rig):
            rig.redis.delete(STREAM)
        recovered(rig)
        imbalance = told(rig, "ledger_imbalance_events")
        verify = after(rig, load)
    part.figures = {"lost": verify["lost"], "acknowledged": verify["acknowledged"]}
    part.check("the proof reports the loss", verify["lost"] > 0, verify)
    part.check("the ledger reports it (ledger_imbalance_events)", imbalance)


def losses(part: Part, long: bool) -> None:
    """The three losses in one run, for the short form: without a file, a kill empties the queue."""
    wanted = Wanted(appendonly=False, settings=MEMORY)
    with Rig(wanted) as rig, loaded(rig, "losses", *SINGLY) as load:
        with worker_paused(rig):
            rig.redis.delete(STREAM)
        recovered(rig)
        part.check("the ledger reports a deleted stream", told(rig, "ledger_imbalance_events"))
        with worker_paused(rig):
            kill_queue(rig)
        recovered(rig)
        part.check("the gateway reports an emptied queue", told(rig, "events_forgotten_total"))
        part.check("the worker reports an emptied queue", told(rig, "queue_resets_total"))
        verify = after(rig, load)
    part.figures = {"lost": verify["lost"], "acknowledged": verify["acknowledged"]}
    part.check("the proof reports the loss", verify["lost"] > ENTRIES, verify)


def memory_tier(part: Part, long: bool) -> None:
    """With the tier `memory` and no append-only file, a kill of the queue loses events."""
    verify = killed_queue(Wanted(appendonly=False, settings=MEMORY))
    part.figures = {"lost": verify["lost"], "acknowledged": verify["acknowledged"]}
    part.check("memory: the proof reports the loss", verify["lost"] > 0, verify)


def fsynced_tier(part: Part, long: bool) -> None:
    """With the tier `fsynced` the same kill loses nothing."""
    verify = killed_queue(Wanted())
    part.figures = {"lost": verify["lost"], "acknowledged": verify["acknowledged"]}
    part.check("fsynced: nothing is lost", verify["lost"] == 0, verify)


def killed_queue(wanted: Wanted) -> dict[str, int]:
    """Kill the queue while acknowledged events are nowhere else; the proof's counts."""
    with Rig(wanted) as rig, loaded(rig, "killed", *SINGLY) as load:
        with worker_paused(rig):
            kill_queue(rig)
        return after(rig, load)


def rolling_restarts(part: Part, long: bool) -> None:
    """Gateway and worker are restarted with SIGTERM under a load that tries nothing again."""
    with Rig(Wanted()) as rig, loaded(rig, "rolling", *SINGLY, retries=0) as load:
        for process in (rig.gateway, rig.workers[0]) * (3 if long else 1):
            starts = process.starts
            process.signal(signal.SIGTERM)
            wait_until(lambda p=process, s=starts: p.starts > s, 30, "a restart")  # type: ignore[misc]
            wait_until(rig.ready, 30, "readiness")
            time.sleep(0.5)
        load.halt()
        report = load.report()
        statuses = [status for p in (rig.gateway, *rig.workers) for status in p.statuses]
    counts = report["counts"]
    part.figures = {name: counts[name] for name in ("accepted", "unknown", "connection_errors")}
    part.check("no answer but 202", not counts["refused"], counts["refused"])
    part.check("every process ended with status 0", set(statuses) == {0}, statuses)
    part.check("nothing acknowledged is lost", report["verify"]["holds"], report["verify"])


ALL: dict[str, Callable[[Part, bool], None]] = {
    "losses": losses,
    "outage": outage,
    "rolling": rolling_restarts,
    "emptied": emptied_queue,
    "deleted": deleted_stream,
    "memory": memory_tier,
    "fsynced": fsynced_tier,
}
