"""The publisher's promises: tiers under change, and appends that are in the ledger or nowhere."""

import asyncio
import shutil
import signal
from pathlib import Path

import msgspec
import pytest
import redis
from redis.asyncio import Redis

from core.codec import decode
from core.errors import Reason, Unavailable
from core.metrics import Metric
from core.partitions import ledger_key, stream_key
from gateway.call import CALL_ENTRIES_MAX, Call
from runtime.ledger import read_book
from runtime.queue import open_queue
from tests.conftest import QueueServer
from tests.contracts.event_queue import ENTRY, Bundled, Noted, entry
from tests.gateway.conftest import is_connected, publishing, until


async def test_replicated(own_queue_server: QueueServer, tmp_path: Path) -> None:
    """`replicated` is reached with a replica, and refused, never lowered, without it."""
    directory = tmp_path / "replica"
    directory.mkdir()
    copy_of = f"127.0.0.1 {own_queue_server.port}"
    replica = QueueServer(directory, "--replicaof", copy_of)
    client = redis.Redis(port=own_queue_server.port)
    client.config_set("repl-diskless-sync-delay", "0")
    client.close()
    settings = {"ack": "replicated:1", "append_timeout_s": "1"}
    async with publishing(own_queue_server.url, **settings) as publisher:
        await until(lambda: "needs 1 replicas that follow" in publisher.away)
        replica.start()
        await is_connected(publisher)
        assert await publisher.append(ENTRY) == "replicated"
        assert replica._process is not None
        replica._process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unavailable) as refused:
            await publisher.append(entry(2))
        assert refused.value.reason is Reason.QUEUE_UNAVAILABLE
        replica._process.send_signal(signal.SIGCONT)
        await is_connected(publisher)
        assert await publisher.append(entry(3)) == "replicated"
    replica.stop(signal.SIGKILL)


async def test_settings_changed_under_it(own_queue_server: QueueServer) -> None:
    """A server that stops syncing while it runs is never answered for as if it did."""
    client = redis.Redis(port=own_queue_server.port)
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        assert await publisher.append(ENTRY) == "fsynced"
        client.config_set("appendonly", "no")
        with pytest.raises(Unavailable):
            await publisher.append(entry(2))
        await until(lambda: "set appendonly yes" in publisher.away)
        client.config_set("appendonly", "yes")
        await is_connected(publisher)
        assert await publisher.append(entry(3)) == "fsynced"
    client.close()


async def test_ledger_counts_appends(queue: Redis, shared_queue_server: QueueServer) -> None:
    """Each append is in the ledger of its partition, in events and in entries."""
    async with publishing(shared_queue_server.url) as publisher:
        await is_connected(publisher)
        other = msgspec.structs.replace(ENTRY, project="proj_2", count=5)
        await asyncio.gather(*(publisher.append(e) for e in (entry(1), other, entry(2))))
    book = await read_book(queue, 0)
    assert {project: totals.accepted for project, totals in book.projects.items()} == {
        "proj_1": 2,
        "proj_2": 5,
    }
    assert (book.entries.accepted, book.length, book.missing) == (3, 3, 0)


async def test_refused_is_not_counted(own_queue_server: QueueServer) -> None:
    """What the queue cannot take is in neither the stream nor the ledger."""
    queue = open_queue(own_queue_server.url)
    await queue.set(stream_key(0), "not a stream")
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        with pytest.raises(Unavailable):
            await publisher.append(ENTRY)
    assert await queue.hget(ledger_key(0), "|a") is None
    await queue.aclose()


async def test_emptied_queue_is_found_out(own_queue_server: QueueServer) -> None:
    """A queue that comes back empty is told what it had, and the loss shows in its ledger."""
    queue = open_queue(own_queue_server.url)
    async with publishing(own_queue_server.url) as publisher:
        await is_connected(publisher)
        await publisher.append(ENTRY)
        own_queue_server.stop(signal.SIGKILL)
        await until(lambda: bool(publisher.away))
        shutil.rmtree(own_queue_server.directory / "appendonlydir")
        own_queue_server.start()
        await is_connected(publisher)
        assert publisher._meter.get(Metric.EVENTS_FORGOTTEN) == 1
        await publisher.append(entry(2))
        assert publisher._standings.of("proj_1").seen == 2  # what was before is counted, too
    book = await read_book(queue, 0)
    await queue.aclose()
    assert (book.entries.accepted, book.length, book.missing) == (2, 1, 1)


async def test_flushed_under_it(queue: Redis, shared_queue_server: QueueServer) -> None:
    """A queue that is emptied while the connection stays takes nothing before it is told."""
    async with publishing(shared_queue_server.url) as publisher:
        await is_connected(publisher)
        await publisher.append(ENTRY)
        await queue.flushall()
        with pytest.raises(Unavailable):
            await publisher.append(entry(2))
        await until(lambda: publisher._meter.get(Metric.EVENTS_FORGOTTEN) == 1)
        await is_connected(publisher)
        await publisher.append(entry(3))
    assert (await read_book(queue, 0)).missing == 1


async def test_large_group_is_split(queue: Redis, shared_queue_server: QueueServer) -> None:
    """No script call holds more entries than its bound; their order stays."""
    count = CALL_ENTRIES_MAX + 10
    async with publishing(shared_queue_server.url) as publisher:
        await is_connected(publisher)
        await asyncio.gather(*(publisher.append(entry(n)) for n in range(count)))
    found = [decode(fields).session for _, fields in await queue.xrange(stream_key(0))]
    assert found == [f"sess_{n}" for n in range(count)]


async def test_bundles_are_within_the_bound(
    queue: Redis, shared_queue_server: QueueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of bundles: one that does not fit begins the next call."""
    sizes: list[int] = []
    packed = Call.packed
    monkeypatch.setattr(
        Call, "packed", lambda self, ledger: sizes.append(len(self)) or packed(self, ledger)
    )
    entries = [entry(n) for n in range(5 * 250)]
    bundles = [Bundled(entries[at : at + 250]) for at in range(0, len(entries), 250)]
    single = Noted()
    async with publishing(shared_queue_server.url) as publisher:
        await is_connected(publisher)
        publisher.put(ENTRY, single)
        for bundle in bundles:
            publisher.put_all(bundle)
        await until(lambda: len(bundles[-1].told()) == 250)
    assert sizes == [751, 500]
    found = [decode(fields).session for _, fields in await queue.xrange(stream_key(0))]
    assert found == [ENTRY.session, *(one.session for one in entries)]
