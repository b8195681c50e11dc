"""The doctor's checks of the queue's server: what it is, what it promises, how full it is."""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from cli.findings import Answer, Check, broken, duration, holds, redis_cli, size, warning
from core.parse_as import replicas_of
from core.settings import Settings
from gateway.tier import SYNC_SETTINGS, Tier, TierError, find_tier, sync_settings

REDIS_MIN, VALKEY_MIN = (7, 0), (8, 0)
SKEW_WARNING_S = 1.0
NEARLY_FULL = 0.75  # of what may be used before events are refused
Info = dict[str, Any]


class Queue(NamedTuple):
    """A queue that has been reached."""

    client: Redis
    settings: Settings

    async def info(self) -> Info:
        """What the server says of itself. Raises RedisError, if it is not allowed to, too."""
        return dict(await self.client.info())

    def cli(self, command: str) -> str:
        """A shell command that runs `command` on this queue."""
        return redis_cli(self.settings, command)


async def check_version(queue: Queue) -> Iterable[Answer]:
    """Redis >= 7, Valkey >= 8; WAITAOF needs Redis 7.2."""
    return judge_version(await queue.info())


def judge_version(info: Info) -> list[Answer]:
    """The answer to what a server calls itself."""
    valkey = "valkey_version" in info
    name, least = ("Valkey", VALKEY_MIN) if valkey else ("Redis", REDIS_MIN)
    version = str(info["valkey_version" if valkey else "redis_version"])
    if _numbers(version) < least:
        return broken(
            f"{name} {version}, which is not supported", "Install Redis >= 7.2 or Valkey >= 8."
        )
    without = "" if valkey or _numbers(version) >= (7, 2) else ", which has no WAITAOF"
    return holds(f"{name} {version}{without}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


async def check_role(queue: Queue) -> Iterable[Answer]:
    """Only a primary takes writes."""
    info = await queue.info()
    if info["role"] == "master":
        return holds(f"a primary with {info['connected_slaves']} replicas")
    primary = f"{info['master_host']}:{info['master_port']}"
    return broken(f"a replica of {primary}", f"Set CONTOX_REDIS_URL to the primary, {primary}.")


async def check_tier(queue: Queue) -> Iterable[Answer]:
    """The tier that CONTOX_ACK asks for, with what the server syncs."""
    settings, ack = queue.settings, queue.settings.ack
    connection = queue.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()
        syncs, server = await _syncs(connection)
        tier = await find_tier(connection, ack, settings.append_timeout_s)
    except TierError as error:
        command = queue.cli("CONFIG SET appendonly yes") if "appendonly" in str(error) else ""
        if "appendfsync" in str(error):
            command = queue.cli("CONFIG SET appendfsync always")
        return broken(f"{ack} cannot be given; {syncs}", str(error), command)
    finally:
        await connection.disconnect(nowait=True)
    if ack == "memory":
        return warning(
            f"memory: a 202 says that the queue has it in memory; {syncs}",
            "Set CONTOX_ACK=fsynced, unless losing the last events in a crash is acceptable.",
        )
    if replicas_of(ack) and server.get("appendonly") == "no":
        return warning(
            f"{ack} is given, but only in memory; {syncs}",
            "Sync to disk, too, so that a power failure of all of them loses nothing.",
            queue.cli("CONFIG SET appendonly yes"),
        )
    return holds(f"{ack} is given by {_means(tier)}; {syncs}")


async def _syncs(connection: Any) -> tuple[str, dict[str, str]]:
    """What the server syncs, in words and as settings; empty if it hides them."""
    try:
        server = await sync_settings(connection)
    except (ResponseError, ValueError):
        return "the server hides its settings", {}
    return ", ".join(f"{name} {server[name]}" for name in SYNC_SETTINGS[:2]), server


def _means(tier: Tier) -> str:
    how = str(tier.trailer[0])
    return "a sync before each reply" if how == "CONFIG" else how


async def check_file(queue: Queue) -> Iterable[Answer]:
    """Whether the append-only file could be written and rewritten."""
    info = await queue.info()
    if not info["aof_enabled"]:
        return holds("there is no append-only file")
    if (written := info["aof_last_write_status"]) != "ok":
        return broken(
            f"the last write to the append-only file: {written}",
            "Free space on the disk of the queue's server, or see what its log says of it.",
            queue.cli("INFO persistence"),
        )
    if (rewritten := info["aof_last_bgrewrite_status"]) != "ok":
        return warning(
            f"the last rewrite of the append-only file: {rewritten}; the file grows",
            "Free disk or memory on the queue's server, then rewrite the file.",
            queue.cli("BGREWRITEAOF"),
        )
    return holds(f"the last write and the last rewrite are ok; {size(info['aof_current_size'])}")


async def check_eviction(queue: Queue) -> Iterable[Answer]:
    """Any policy but noeviction throws keys away when memory is short."""
    info = await queue.info()
    policy = info["maxmemory_policy"]
    if policy == "noeviction":
        return holds("maxmemory-policy noeviction")
    change = "Let nothing be evicted, and keep it in the server's configuration file."
    command = queue.cli("CONFIG SET maxmemory-policy noeviction")
    if not info["maxmemory"]:
        return warning(f"maxmemory-policy {policy}, harmless while maxmemory is 0", change, command)
    if policy.startswith("volatile-"):  # streams have no time to live
        return warning(
            f"maxmemory-policy {policy} evicts cached keys and sessions", change, command
        )
    evicted = f"; {info['evicted_keys']:,} keys were" if info["evicted_keys"] else ""
    return broken(f"maxmemory-policy {policy} may evict the stream{evicted}", change, command)


async def check_memory(queue: Queue) -> Iterable[Answer]:
    """Memory used against maxmemory and CONTOX_BACKLOG_MEMORY_PERCENT."""
    info = await queue.info()
    used, bound = int(info["used_memory"]), int(info["maxmemory"])
    if not bound:
        return holds(f"{size(used)} are used; the server has no maxmemory")
    allowed = queue.settings.backlog_memory_percent
    found = f"{size(used)} of {size(bound)} are used, {used / bound:.0%}"
    change = "Let the workers catch up, or give the server more memory (and maxmemory)."
    command = queue.cli(f"CONFIG SET maxmemory {2 * bound}")
    if used >= bound * allowed / 100:
        return broken(f"{found}; from {allowed} % on, events are refused", change, command)
    if used >= bound * allowed / 100 * NEARLY_FULL:
        return warning(f"{found}; at {allowed} %, events are refused", change, command)
    return holds(found)


async def check_clock(queue: Queue) -> Iterable[Answer]:
    """Entry ids carry the queue's time, signatures are judged by the gateway's."""
    before_s = time.time()
    seconds, microseconds = await queue.client.time()
    skew_s = seconds + microseconds / 1e6 - (before_s + time.time()) / 2
    return judge_clock(skew_s, queue.settings.window_s)


def judge_clock(skew_s: float, window_s: int) -> list[Answer]:
    """The answer to a clock of the queue that is `skew_s` ahead of this host's."""
    side = "ahead of" if skew_s > 0 else "behind"
    found = f"the queue's clock is {duration(abs(skew_s))} {side} this host's"
    change = "Set both clocks by NTP, and see which of them is wrong."
    if abs(skew_s) > window_s / 2:
        return broken(f"{found}; signatures hold for {window_s} s", change, "timedatectl status")
    if abs(skew_s) > SKEW_WARNING_S:
        return warning(found, change, "timedatectl status")
    return holds(found)


CHECKS = (
    Check("The queue's version is supported", check_version),
    Check("The queue takes writes", check_role),
    Check("A 202 survives a crash of the queue", check_tier),
    Check("The queue's file can be written", check_file),
    Check("Nothing accepted is evicted", check_eviction),
    Check("The queue has memory for more events", check_memory),
    Check("Queue and gateway agree on the time", check_clock),
)
