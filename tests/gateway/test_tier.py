"""What a server's settings and replicas say of a tier; the tiers at work are tested with the
publisher."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from core.settings import SettingError, read
from gateway.tier import SettingsForbidTier, Tier, TierError, check_at_start, find_tier
from runtime.queue import open_queue
from tests.conftest import QueueServer

TIMEOUT_S = 5


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


@pytest.fixture
def replica(own_queue_server: QueueServer, tmp_path: Path) -> Iterator[QueueServer]:
    """A second server that copies the first."""
    directory = tmp_path / "replica"
    directory.mkdir()
    options = ("--replicaof", f"127.0.0.1 {own_queue_server.port}", "--repl-diskless-sync-delay")
    server = QueueServer(directory, *options, "0")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


async def fsynced(connection: AbstractConnection) -> Tier:
    """The tier `fsynced` on this connection."""
    return await find_tier(connection, "fsynced", TIMEOUT_S)


async def test_memory_needs_nothing(connection: AbstractConnection) -> None:
    """`memory` is a reply and nothing else."""
    tier = await find_tier(connection, "memory", TIMEOUT_S)
    assert (tier.name, tier.trailer, tier.reached(None)) == ("memory", (), True)


async def test_always(admin: Redis, connection: AbstractConnection) -> None:
    """Where the server syncs always, the settings are looked at behind each group."""
    tier = await fsynced(connection)
    assert tier.trailer[:2] == ("CONFIG", "GET")
    assert await ask(connection, tier)
    await admin.config_set("appendonly", "no")
    assert not await ask(connection, tier)


async def ask(connection: AbstractConnection, tier: Tier) -> bool:
    """Whether the tier is reached now."""
    await connection.send_command(*tier.trailer)
    return tier.reached(await connection.read_response())


async def test_everysec(admin: Redis, connection: AbstractConnection) -> None:
    """Where it syncs every second, WAITAOF is needed."""
    await admin.config_set("appendfsync", "everysec")
    await assert_waits(admin, connection)


NEVER_SYNCED = [
    ("appendonly", "no", "appendonly yes"),
    ("appendfsync", "no", "appendfsync to always"),
]


@pytest.mark.parametrize(("name", "value", "said"), NEVER_SYNCED)
async def test_never_synced(
    admin: Redis, connection: AbstractConnection, name: str, value: str, said: str
) -> None:
    """Where nothing is synced the error says what to set."""
    await admin.config_set(name, value)
    with pytest.raises(SettingsForbidTier, match=said):
        await fsynced(connection)


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
        tier = await fsynced(connection)
        assert tier.trailer == ("WAITAOF", 1, 0, 4500)
        assert tier.reached([1, 0])
        assert not tier.reached([0, 0])
    else:
        with pytest.raises(SettingsForbidTier, match="cannot tell"):
            await fsynced(connection)


async def knows_waitaof(admin: Redis) -> bool:
    """Whether the server has the command."""
    try:
        await admin.execute_command("WAITAOF", 0, 0, 0)
    except ResponseError:
        return False
    return True


async def test_too_few_replicas(connection: AbstractConnection) -> None:
    """Without enough replicas the error tells both numbers."""
    with pytest.raises(TierError, match=r"needs 2 replicas that follow; .* has 0"):
        await find_tier(connection, "replicated:2", 1)


async def test_replicas(connection: AbstractConnection, replica: QueueServer) -> None:
    """With a replica, WAIT is asked for as many as are promised."""
    tier = await eventually(lambda: find_tier(connection, "replicated:1", TIMEOUT_S))
    assert (tier.name, tier.trailer) == ("replicated", ("WAIT", 1, 4500))
    assert tier.reached(1)
    assert not tier.reached(0)


async def eventually(attempt: Callable[[], Awaitable[Tier]]) -> Tier:
    """Try again while there are too few replicas."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await attempt()
            except TierError:
                await asyncio.sleep(0.05)


async def test_replica_is_no_primary(replica: QueueServer) -> None:
    """`replicated` on a replica names the mistake."""
    client = open_queue(replica.url)
    connection = client.connection_pool.make_connection()
    await connection.connect()
    with pytest.raises(SettingsForbidTier, match="needs the primary"):
        await find_tier(connection, "replicated:1", TIMEOUT_S)
    await connection.disconnect()
    await client.aclose()


async def test_replicas_cannot_be_probed(admin: Redis, connection: AbstractConnection) -> None:
    """A server out of memory, where nothing can be written, is asked group by group."""
    await admin.config_set("maxmemory", "1")
    assert (await find_tier(connection, "replicated:1", TIMEOUT_S)).trailer[0] == "WAIT"


@pytest.mark.parametrize(("name", "value", "said"), NEVER_SYNCED)
async def test_start_is_refused(admin: Redis, name: str, value: str, said: str) -> None:
    """A gateway does not start on a server whose settings cannot give its tier."""
    await admin.config_set(name, value)
    with pytest.raises(SettingError, match=said):
        await check_at_start(admin, read({}))


async def test_hidden_settings_and_no_file(admin: Redis, connection: AbstractConnection) -> None:
    """A server that hides its settings and has no append-only file is found out, too."""
    await admin.config_set("appendonly", "no")
    await admin.execute_command("ACL", "SETUSER", "default", "-config")
    with pytest.raises(SettingsForbidTier, match="cannot tell"):
        await fsynced(connection)


@pytest.mark.parametrize(("maxmemory", "refused"), [("1gb", True), ("0", False)])
async def test_server_that_evicts(admin: Redis, maxmemory: str, refused: bool) -> None:
    """A gateway does not start on a server that may evict the stream itself."""
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    await admin.config_set("maxmemory", maxmemory)
    if refused:
        with pytest.raises(SettingError, match="set it to noeviction"):
            await check_at_start(admin, read({}))
    else:
        await check_at_start(admin, read({}))


async def test_start_goes_on(admin: Redis) -> None:
    """A queue that is away, or lacks replicas now, does not keep a gateway from starting."""
    await check_at_start(admin, read({}))
    await check_at_start(
        admin, read({"CONTOX_ACK": "replicated:1", "CONTOX_APPEND_TIMEOUT_S": "1"})
    )
    away = open_queue("redis://127.0.0.1:1/0")
    await check_at_start(away, read({}))
    await away.aclose()
