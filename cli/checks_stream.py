"""The doctor's checks of the streams: is there a group, is it read, is it stored, what died."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from cli.checks_queue import Queue
from cli.findings import Answer, Check, broken, duration, holds, some, warning
from core.partitions import GROUP, dead_letter_key, stream_key

PARTITIONS_MAX = 1024
PENDING_PAGE = 1000
REASONS_SHOWN, REASON_CHARS = 3, 100
START_WORKER = "contox-ingest worker"


class Stream(NamedTuple):
    """One partition's stream with its group."""

    partition: int
    length: int
    has_group: bool
    lag: int  # entries that no worker has read
    pending: int  # entries that a worker has read, and that are not stored
    oldest_s: float  # age of the oldest entry; 0 if there is none


async def read_stream(queue: Queue, partition: int) -> Stream | None:
    """A partition's stream; None if there is none. Raises RedisError."""
    key = stream_key(partition)
    length = await queue.client.xlen(key)
    try:
        groups: Any = await queue.client.xinfo_groups(key)
    except ResponseError as error:
        if "no such key" in str(error):
            return None
        raise
    ours = [group for group in groups if group["name"] == GROUP.encode()]
    pending = ours[0]["pending"] if ours else 0
    lag = ours[0].get("lag") if ours else length
    if lag is None:  # the server cannot tell, once entries were deleted in between
        lag = length - pending
    first: Any = await queue.client.xrange(key, count=1)
    born_ms = int(first[0][0].split(b"-")[0]) if first else None
    age_s = 0.0 if born_ms is None else max(time.time() - born_ms / 1000, 0.0)
    lag = min(max(lag, 0), length)  # the server's own may count entries that were deleted
    return Stream(partition, length, bool(ours), lag, pending, age_s)


async def read_streams(queue: Queue) -> list[Stream]:
    """The streams that there are, of the partitions that the settings name."""
    found = [await read_stream(queue, n) for n in range(queue.settings.partitions)]
    return [stream for stream in found if stream is not None]


async def check_groups(queue: Queue) -> Iterable[Answer]:
    """Each partition has a stream with the workers' group, and none is left undrained."""
    streams, partitions = await read_streams(queue), queue.settings.partitions
    without = [stream for stream in streams if not stream.has_group]
    answers = []
    if without:
        answers += warning(
            f"{_names(without)} without the group {GROUP}, {_count(_entries(without))}",
            "Start a worker, or see that it runs: it makes the group.",
            START_WORKER,
        )
    if beyond := await _beyond(queue):
        answers += broken(
            f"{', '.join(beyond)} hold entries, but CONTOX_PARTITIONS is {partitions}",
            "Set CONTOX_PARTITIONS as it was, the same for every process, until they are drained.",
        )
    there = f"{len(streams)} of {some(partitions, 'stream')} with the group {GROUP}"
    return answers or holds(
        there if streams else "no stream yet; the first event or worker makes it"
    )


async def _beyond(queue: Queue) -> list[str]:
    """Streams that hold entries, and that no process with these settings reads."""
    keys = [stream_key(n) for n in range(queue.settings.partitions, PARTITIONS_MAX)]
    async with queue.client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.xlen(key)
        lengths = await pipe.execute() if keys else []
    return [key for key, length in zip(keys, lengths, strict=True) if length]


async def check_lag(queue: Queue) -> Iterable[Answer]:
    """How far behind the workers are: entries nobody has read, and the age of the oldest one."""
    settings, streams = queue.settings, await read_streams(queue)
    lag = sum(stream.lag for stream in streams)
    oldest_s = max((stream.oldest_s for stream in streams), default=0)
    found = f"{_count(_entries(streams))} in the queue, {lag:,} not read yet"
    found += f", the oldest {duration(oldest_s)} old" if oldest_s else ""
    change = "See that workers run and that the store is up; start more workers if it goes on."
    full = [
        stream
        for stream in streams
        if stream.length >= settings.backlog_entries_max
        or (settings.backlog_lag_max and stream.lag >= settings.backlog_lag_max)
    ]
    if full:
        return broken(f"{found}; {_names(full)} full: events are refused", change, START_WORKER)
    if oldest_s > settings.claim_idle_s:
        return warning(found, change, START_WORKER)
    return holds(found)


async def check_pending(queue: Queue) -> Iterable[Answer]:
    """What was read and is not stored: how much, for how long, and by workers that are gone."""
    streams, limit_s = await read_streams(queue), queue.settings.claim_idle_s
    idle_s, gone = 0.0, []
    for stream in streams:
        if stream.has_group and stream.pending:
            idle_s = max(idle_s, await _longest_idle_s(queue, stream.partition))
            gone += await _gone(queue, stream.partition)
    pending = sum(stream.pending for stream in streams)
    found = f"{_count(pending)} read and not stored"
    if not pending:
        return holds(found)
    found += f", idle for up to {duration(idle_s)}"
    if gone:
        return warning(
            f"{found}; held by {', '.join(gone)}",
            "Start the worker of that name again; or another, which takes its entries over"
            f" after {limit_s} s (CONTOX_CLAIM_IDLE_S).",
            START_WORKER,
        )
    if idle_s > limit_s:
        return warning(found, "See why the worker does not finish: its log and /readyz tell.")
    return holds(found)


async def _longest_idle_s(queue: Queue, partition: int) -> float:
    """Of the pending entries, the oldest ones, up to a page."""
    found: Any = await queue.client.xpending_range(
        stream_key(partition), GROUP, min="-", max="+", count=PENDING_PAGE
    )
    return max((entry["time_since_delivered"] for entry in found), default=0) / 1000


async def _gone(queue: Queue, partition: int) -> list[str]:
    """Consumers that hold entries and have not been heard of, with numbers."""
    consumers: Any = await queue.client.xinfo_consumers(stream_key(partition), GROUP)
    return [
        f"{c['name'].decode(errors='replace')} ({_count(c['pending'])},"
        f" not seen for {duration(c['idle'] / 1000)})"
        for c in consumers
        if c["pending"] and c["idle"] > queue.settings.claim_idle_s * 1000
    ]


async def check_dead_letters(queue: Queue) -> Iterable[Answer]:
    """How many there are, against their bound, and why the latest died."""
    bound, counts, reasons = queue.settings.dead_letters_max, [], Counter[str]()
    for partition in range(queue.settings.partitions):
        key = dead_letter_key(partition)
        counts.append(await queue.client.xlen(key))
        latest: Any = await queue.client.xrevrange(key, count=REASONS_SHOWN)
        reasons.update(fields.get(b"why", b"?").decode(errors="replace") for _, fields in latest)
    if not any(counts):
        return holds("no dead letters")
    whys = "; ".join(why[:REASON_CHARS] for why in list(reasons)[:REASONS_SHOWN])
    found = f"{some(sum(counts), 'dead letter')} (at most {bound:,} a partition). Latest: {whys}"
    change = "Put right why they were refused, then replay or purge them."
    command = "contox-ingest dead-letters list"
    if max(counts) >= bound:
        return broken(f"{found}. They are full: the drain stops", change, command)
    return warning(found, change, command)


def _names(streams: Iterable[Stream]) -> str:
    return ", ".join(stream_key(stream.partition) for stream in streams)


def _entries(streams: Iterable[Stream]) -> int:
    return sum(stream.length for stream in streams)


def _count(entries: int) -> str:
    return some(entries, "entry", "entries")


CHECKS = (
    Check("Every partition is read by the workers", check_groups),
    Check("What is accepted is read soon", check_lag),
    Check("What was read is stored", check_pending),
    Check("No event waits as a dead letter", check_dead_letters),
)
