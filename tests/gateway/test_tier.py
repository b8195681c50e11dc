"""What a server's settings say of `fsynced`; the tiers themselves are tested with the publisher."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from gateway.tier import TierError, needs_waitaof
from runtime.queue import open_queue
from tests.conftest import QueueServer


@pytest.fixture
async def admin(own_queue_server: QueueServer) -> AsyncIterator[Redis]:
    """A client that changes the server."""
    client = open_queue(own_queue_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def connection(admin: Redis) -> AsyncIterator[AbstractConnection]:
    """A connection of the kind the publisher uses."""
    connection = admin.connection_pool.make_connection()
    await connection.connect()
    yield connection
    await connection.disconnect()


async def test_always(connection: AbstractConnection) -> None:
    """A reply is enough where the server syncs always."""
    assert await needs_waitaof(connection) is False


async def test_everysec(admin: Redis, connection: AbstractConnection) -> None:
    """Where it syncs every second, WAITAOF is needed."""
    await admin.config_set("appendfsync", "everysec")
    await assert_waits(admin, connection)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("appendonly", "no", "appendonly yes"), ("appendfsync", "no", "appendfsync to always")],
)
async def test_never_synced(
    admin: Redis, connection: AbstractConnection, name: str, value: str, said: str
) -> None:
    """Where nothing is synced the error says what to set."""
    await admin.config_set(name, value)
    with pytest.raises(TierError, match=said):
        await needs_waitaof(connection)


async def test_settings_not_readable(admin: Redis, connection: AbstractConnection) -> None:
    """A server that hides its settings is asked with WAITAOF, if it knows that."""
    await admin.execute_command("ACL", "SETUSER", "default", "-config")
    await assert_waits(admin, connection)


async def test_rewrite_suspends_the_sync(admin: Redis, connection: AbstractConnection) -> None:
    """Where a rewrite of the file suspends syncing, a reply is not enough."""
    await admin.config_set("no-appendfsync-on-rewrite", "yes")
    await assert_waits(admin, connection)


async def assert_waits(admin: Redis, connection: AbstractConnection) -> None:
    """WAITAOF is wanted; a server older than it cannot give the tier."""
    if await knows_waitaof(admin):
        assert await needs_waitaof(connection) is True
    else:
        with pytest.raises(TierError, match="older than Redis"):
            await needs_waitaof(connection)


async def knows_waitaof(admin: Redis) -> bool:
    """Whether the server has the command."""
    try:
        await admin.execute_command("WAITAOF", 0, 0, 0)
    except ResponseError:
        return False
    return True
