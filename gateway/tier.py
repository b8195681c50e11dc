"""Whether the server's settings can give `fsynced`, and how.

appendfsync always syncs before it replies (https://valkey.io/topics/persistence/); with everysec,
WAITAOF tells when the connection's writes have been synced; with no, nothing does. While the file
is rewritten, no-appendfsync-on-rewrite suspends even always: then WAITAOF is asked, too.
"""

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError


class TierError(Exception):
    """The server cannot give the promised durability; the text says what to change."""


async def needs_waitaof(connection: AbstractConnection) -> bool:
    """Whether `fsynced` takes a WAITAOF behind each group; False: a reply is enough.

    Raises TierError if the server cannot sync. A server that does not let its settings be read is
    asked with WAITAOF, which fails by itself if there is nothing to sync.
    """
    try:
        appendonly = await _setting(connection, "appendonly")
        appendfsync = await _setting(connection, "appendfsync")
        paused = await _setting(connection, "no-appendfsync-on-rewrite")
    except (ResponseError, ValueError):  # not allowed, or hidden
        return await _can_wait(connection)
    if appendonly != "yes":
        raise TierError(
            "CONTOX_ACK=fsynced needs an append-only file: set appendonly yes on the queue's"
            " server, or CONTOX_ACK=memory."
        )
    if appendfsync == "no":
        raise TierError(
            "CONTOX_ACK=fsynced needs a sync: set appendfsync to always or everysec on the queue's"
            " server, or CONTOX_ACK=memory."
        )
    if appendfsync == "always" and paused == "no":
        return False
    return await _can_wait(connection)


async def _can_wait(connection: AbstractConnection) -> bool:
    """True if the server knows WAITAOF. Raises TierError if it does not."""
    await connection.send_command("WAITAOF", 0, 0, 0)
    try:
        await connection.read_response()
    except ResponseError:
        raise TierError(
            "CONTOX_ACK=fsynced needs appendfsync always here, since the queue's server is older"
            " than Redis 7.2 and cannot tell when it has synced; or set CONTOX_ACK=memory."
        ) from None
    return True


async def _setting(connection: AbstractConnection, name: str) -> str:
    await connection.send_command("CONFIG", "GET", name)
    _, value = await connection.read_response()
    return str(value.decode())
