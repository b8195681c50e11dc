"""What a server's settings say of `fsynced`; the tiers themselves are tested with the publisher."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

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


@pytest.mark.parametrize(("appendfsync", "answer"), [("always", False), ("everysec", True)])
async def test_synced(
    admin: Redis, connection: AbstractConnection, appendfsync: str, answer: bool
) -> None:
    """A reply is enough where the server syncs always; else WAITAOF is needed."""
    await admin.config_set("appendfsync", appendfsync)
    assert await needs_waitaof(connection) is answer


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
    """A server that hides its settings is asked with WAITAOF."""
    await admin.execute_command("ACL", "SETUSER", "default", "-config")
    assert await needs_waitaof(connection) is True
