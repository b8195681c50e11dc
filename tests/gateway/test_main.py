"""A gateway as a whole: what stops its start, what follows a rotation, how it leaves."""

import asyncio
import base64

import pytest

from core.settings import SettingError, read
from gateway.channel import POLL_S
from gateway.key_cache import CHANNEL, KeyCache
from gateway.main import serving
from tests.gateway.conftest import SECRET, Running, Start
from tests.raw_http import EVENT, Producer, read_reply


async def test_no_master_key(environ: dict[str, str]) -> None:
    """Without a master key it does not start, and says how to make one."""
    with pytest.raises(SettingError, match=r"CONTOX_MASTER_KEY is not set.*openssl"):
        async with serving(read({**environ, "CONTOX_MASTER_KEY": ""}), asyncio.Event()):
            pass


async def test_other_master_key(environ: dict[str, str], running: Running) -> None:
    """With another key than the one that the secrets are sealed with it does not start."""
    other = base64.b64encode(b"x" * 32).decode()
    with pytest.raises(SettingError, match="CONTOX_MASTER_KEY is not the key"):
        async with serving(read({**environ, "CONTOX_MASTER_KEY": other}), asyncio.Event()):
            pass


async def test_store_that_cannot_be_opened(environ: dict[str, str]) -> None:
    """A store that cannot be opened stops the start with the setting's name."""
    wrong = {**environ, "CONTOX_DATABASE_URL": "sqlite:////nowhere/at/all.db"}
    with pytest.raises(SettingError, match="CONTOX_DATABASE_URL cannot be used"):
        async with serving(read(wrong), asyncio.Event()):
            pass


async def test_rotation(start: Start) -> None:
    """After an announced rotation both secrets verify, after the grace the new one alone."""
    running = await start()
    new = Producer(running.producer.port, "proj_1", "whsec_new")
    assert (await new.post()).status == 401
    await running.projects.rotate(
        "proj_1", running.seal("whsec_new"), now_ms=0, old_expires_ms=2**40 * 10
    )
    cache = KeyCache(running.queue, ttl_s=30)
    await cache.announce("proj_1", await running.projects.keys("proj_1"))
    async with asyncio.timeout(5):
        while (await new.post()).status != 202:
            await asyncio.sleep(0.01)
    assert (await Producer(running.producer.port, "proj_1", SECRET).post()).status == 202
    await running.projects.rotate("proj_1", running.seal("whsec_3"), now_ms=1, old_expires_ms=1)
    await cache.announce("proj_1", await running.projects.keys("proj_1"))
    async with asyncio.timeout(5):
        while (await new.post()).status != 401:
            await asyncio.sleep(0.01)


async def test_missed_change(start: Start) -> None:
    """A change whose message was lost, on a channel that seems well, counts within a second."""
    running = await start()
    assert (await running.producer.post()).status == 202
    await asyncio.sleep(POLL_S + 0.2)  # it knows by now how many changes there were
    await running.projects.rotate("proj_1", running.seal("whsec_2"), now_ms=1, old_expires_ms=1)
    await running.queue.delete("contox:keys:proj_1")
    await running.queue.incr(CHANNEL)  # and nothing is published
    assert (await running.producer.post()).status == 202
    async with asyncio.timeout(1):
        while (await running.producer.post()).status != 401:
            await asyncio.sleep(0.01)


async def test_leaves_no_request_unanswered(environ: dict[str, str], running: Running) -> None:
    """What is in flight when the gateway leaves is answered, and the port is closed after."""
    async with serving(read(environ), asyncio.Event()) as gateway:
        producer = Producer(gateway.port, "proj_1", SECRET)
        async with asyncio.timeout(5):
            while gateway.publisher.away:
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        request = producer.request(EVENT)
        writer.write(request[:-3])
        await asyncio.sleep(0.1)
        closing = asyncio.get_running_loop().call_later(0.2, writer.write, request[-3:])
    assert (await read_reply(reader)).status == 202
    closing.cancel()
    writer.close()
    with pytest.raises(OSError):
        await producer.post()


async def test_listens_once_the_queue_was_tried(environ: dict[str, str], running: Running) -> None:
    """A gateway takes connections when it has reached the queue: its first request is accepted."""
    async with serving(read(environ), asyncio.Event()) as gateway:
        assert gateway.publisher.away == ""
        assert (await Producer(gateway.port, "proj_1", SECRET).post()).status == 202


async def test_listens_without_a_queue(environ: dict[str, str], running: Running) -> None:
    """A queue that is away is tried once; then the gateway listens, and says what is missing."""
    settings = read(
        {**environ, "CONTOX_REDIS_URL": "redis://127.0.0.1:1/0", "CONTOX_ACK": "memory"}
    )
    async with asyncio.timeout(10), serving(settings, asyncio.Event()) as gateway:
        assert gateway.publisher.away
        assert gateway.missing()
