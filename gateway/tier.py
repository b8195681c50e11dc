"""What `CONTOX_ACK` asks of the queue's server, and how each group of appends is shown to have it.

`memory`     a reply is enough.
`fsynced`    appendfsync always syncs before it replies
             (https://valkey.io/topics/persistence/); with everysec, WAITAOF tells when the
             connection's writes have been synced; with no, nothing does. While the file is
             rewritten, no-appendfsync-on-rewrite suspends even always: then WAITAOF is asked too.
`replicated` WAIT tells how many replicas have the connection's writes (in memory).

Settings can change under a running server. So a group that relies on them is followed by a look at
them, in the same write: no 202 names a tier that the server no longer gives.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from core.parse_as import replicas_of
from core.partitions import stream_key
from core.settings import SettingError, Settings
from runtime.log import get_log
from runtime.queue import QUEUE_ERRORS

log = get_log()
SYNC_SETTINGS = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite")
SYNCED_ALWAYS = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
PROBE = stream_key(0) + ":probe"
SHARE_OF_TIMEOUT = 0.9  # the server's wait ends before ours: its answer tells what is missing


class TierError(Exception):
    """The server cannot give the promised durability now; the text says what to change."""


class SettingsForbidTier(TierError):
    """Nor will it ever, with its present settings."""


class Tier(NamedTuple):
    """A tier as it is reached on one connection."""

    name: str  # as producers see it: memory, fsynced, replicated
    trailer: tuple[str | int, ...]  # the command behind each group; empty: none is needed
    reached: Callable[[Any], bool]  # what the trailer's reply says


def _reply_is_enough(_reply: object) -> bool:
    return True


async def find_tier(connection: AbstractConnection, ack: str, timeout_s: int) -> Tier:
    """How `ack` is reached on this server. Raises TierError if it cannot be."""
    timeout_ms = int(timeout_s * 1000 * SHARE_OF_TIMEOUT)
    if replicas := replicas_of(ack):
        await _check_replicas(connection, replicas, timeout_ms)
        return Tier("replicated", ("WAIT", replicas, timeout_ms), lambda n: n >= replicas)
    if ack == "memory":
        return Tier("memory", (), _reply_is_enough)
    try:
        settings = await sync_settings(connection)
    except (ResponseError, ValueError):  # not allowed, or hidden: WAITAOF fails by itself
        await _check_waitaof(connection)
        return Tier("fsynced", ("WAITAOF", 1, 0, timeout_ms), lambda synced: synced[0] >= 1)
    _check_settings(settings)
    if settings == SYNCED_ALWAYS:
        return Tier("fsynced", ("CONFIG", "GET", *SYNC_SETTINGS), _still_synced)
    await _check_waitaof(connection)
    return Tier("fsynced", ("WAITAOF", 1, 0, timeout_ms), lambda synced: synced[0] >= 1)


async def sync_settings(connection: AbstractConnection) -> dict[str, str]:
    """SYNC_SETTINGS as the server has them. Raises ResponseError or ValueError if it hides them."""
    await connection.send_command("CONFIG", "GET", *SYNC_SETTINGS)
    settings = _pairs(await connection.read_response())
    if settings.keys() != set(SYNC_SETTINGS):
        raise ValueError("the server does not tell its settings")
    return settings


def _pairs(reply: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _still_synced(reply: list[bytes]) -> bool:
    return _pairs(reply) == SYNCED_ALWAYS


def _check_settings(settings: dict[str, str]) -> None:
    if settings["appendonly"] != "yes":
        raise SettingsForbidTier(
            "CONTOX_ACK=fsynced needs an append-only file: set appendonly yes on the queue's"
            " server, or CONTOX_ACK=memory."
        )
    if settings["appendfsync"] == "no":
        raise SettingsForbidTier(
            "CONTOX_ACK=fsynced needs a sync: set appendfsync to always or everysec on the queue's"
            " server, or CONTOX_ACK=memory."
        )


async def _check_waitaof(connection: AbstractConnection) -> None:
    """Raises SettingsForbidTier if the server does not know WAITAOF, or has nothing to sync."""
    await connection.send_command("WAITAOF", 1, 0, 1)
    try:
        await connection.read_response()
    except ResponseError:
        raise SettingsForbidTier(
            "CONTOX_ACK=fsynced needs appendfsync always here, since the queue's server cannot tell"
            " when it has synced: it is older than Redis 7.2, or has no append-only file; or set"
            " CONTOX_ACK=memory."
        ) from None


async def _check_replicas(connection: AbstractConnection, wanted: int, timeout_ms: int) -> None:
    """Raises TierError for a server that is a replica itself, or whose replicas do not answer.

    How many are connected says little: one may be loading, or stalled. A write and a WAIT tell.
    """
    await connection.send_command("SET", PROBE, 1, "PX", 1000)
    try:
        await connection.read_response()
    except ReadOnlyError:
        raise SettingsForbidTier(
            f"CONTOX_ACK=replicated:{wanted} needs the primary: CONTOX_REDIS_URL names a replica."
        ) from None
    except OutOfMemoryError:
        return  # draining frees memory; WAIT tells, group by group
    await connection.send_command("WAIT", wanted, timeout_ms)
    found = await connection.read_response()
    if found < wanted:
        raise TierError(
            f"CONTOX_ACK=replicated:{wanted} needs {wanted} replicas that follow; the queue's"
            f" server has {found}."
        )


async def _check_eviction(connection: AbstractConnection) -> None:
    """Raises SettingsForbidTier for a server that would evict streams when it is out of memory."""
    await connection.send_command("CONFIG", "GET", "maxmemory", "maxmemory-policy")
    try:
        settings = _pairs(await connection.read_response())
    except ResponseError:  # not allowed: the doctor says that it cannot be told
        return
    policy = settings.get("maxmemory-policy", "")
    if policy.startswith("allkeys") and settings.get("maxmemory") != "0":
        raise SettingsForbidTier(
            f"The queue's server may evict accepted events: its maxmemory-policy is {policy}; set"
            " it to noeviction."
        )


async def check_at_start(queue: Redis, settings: Settings) -> None:
    """Raises SettingError if the server's settings can never give the tier.

    A server that is away, or has too few replicas now, is waited for by the publisher.
    """
    connection = queue.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        await connection.connect()
        await find_tier(connection, settings.ack, settings.append_timeout_s)
        await _check_eviction(connection)
    except SettingsForbidTier as error:
        raise SettingError(str(error)) from None
    except (*QUEUE_ERRORS, TierError) as error:
        log.info("the tier cannot be checked yet", ack=settings.ack, error=str(error))
    finally:
        await connection.disconnect(nowait=True)
