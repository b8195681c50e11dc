"""The connection to Redis or Valkey, as every part of ours opens it."""

import asyncio
from collections.abc import Iterable
from random import random

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - what callers catch

CONNECT_TIMEOUT_S = 5
REPLY_TIMEOUT_S = 10  # longer than any blocking read of ours
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0
QUEUE_ERRORS = (RedisError, OSError, TimeoutError)


def open_queue(redis_url: str, *, reply_timeout_s: float | None = REPLY_TIMEOUT_S) -> Redis:
    """A client for redis://, rediss:// or unix:// URLs. Connects lazily; does not retry by itself.

    RESP 2, since replies then have one shape on every server of either kind.
    """
    client = Redis.from_url(
        redis_url,
        protocol=2,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=reply_timeout_s,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = type("QueueConnection", (Lossy, pool.connection_class), {})
    return client


class Lossy(AbstractConnection):
    """A connection that says in the client's own words that it was lost.

    Where the server has reset it, uvloop answers a write with RuntimeError, which the client lets
    through; for us that is an outage, not a bug.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """See redis.asyncio.connection.AbstractConnection."""
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise ConnectionError(f"The connection was lost: {error}") from error


class Backoff:
    """The wait between attempts: doubles up to a bound, with jitter, until an attempt succeeds."""

    def __init__(self) -> None:
        self._delay_s = BACKOFF_FIRST_S

    def reset(self) -> None:
        """Call when an attempt has succeeded."""
        self._delay_s = BACKOFF_FIRST_S

    async def wait(self) -> None:
        """Call when an attempt has failed."""
        await asyncio.sleep(self.next_s())

    def next_s(self) -> float:
        """The seconds to wait, where an attempt has failed and the wait is the caller's."""
        delay_s = self._delay_s * (0.5 + random() / 2)  # noqa: S311 - jitter, not a secret
        self._delay_s = min(self._delay_s * 2, BACKOFF_MAX_S)
        return delay_s
