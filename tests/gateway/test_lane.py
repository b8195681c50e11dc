"""The lane beside aiohttp: the same bytes get the same answers and leave the same entries."""

import asyncio
from random import Random

import pytest

from core.codec import Entry
from core.errors import Reason, Rejected
from gateway import keep_alive
from gateway import lane as module
from gateway.lane import Lane
from gateway.plain_head import HEAD_BYTES_MAX
from tests.gateway.conftest import NOW, Running, Start, until
from tests.gateway.test_plain_head import NOT_PLAIN, head
from tests.raw_http import EVENT, PATH, Headers, Producer, chunked, read_reply

BATCH = b"[" + EVENT + b"," + EVENT + b"]"
Seen = tuple[list[tuple[int, str]], list[tuple[bytes, int]]]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def both(start: Start) -> tuple[Running, Running]:
    """Two gateways on one queue: with the lane, and without."""
    limits = {"CONTOX_BODY_BYTES_MAX": "2000", "CONTOX_BODY_TIMEOUT_S": "1"}
    pair = (await start(CONTOX_LANE="1", **limits), await start(CONTOX_LANE="0", **limits))
    for running in pair:
        running.gateway.admission._clock = lambda: NOW + 0.9
        running.gateway.usual._clock = lambda: NOW + 0.9
    return pair


async def seen(running: Running, pieces: list[bytes]) -> Seen:
    """(status, code) of each answer to these bytes, and the entries that they leave."""
    before = len(await running.entries())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    answers = []
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.002)
        async with asyncio.timeout(2):
            while True:
                reply = await read_reply(reader)
                answers.append((reply.status, reply.json.get("code", "") if reply.body else ""))
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass  # no more answers come
    finally:
        writer.close()
    entries: list[Entry] = (await running.entries())[before:]
    return answers, [(entry.body, entry.count) for entry in entries]


def requests(producer: Producer) -> dict[str, bytes]:
    """Bytes for a connection, by what is special about them; the last request closes it."""

    def post(body: bytes = EVENT, **changed: str | None) -> bytes:
        headers: Headers = {name.replace("_", "-"): value for name, value in changed.items()}
        return producer.request(body, changed=headers, timestamp=NOW)

    signed, last = post(), post(Connection="close")
    unknown = post(Transfer_Encoding="chunked", Content_Length=None)[: -len(EVENT)]
    return {
        "one": signed + last,
        "batch": post(BATCH) + last,
        "bad signature": post(X_Contox_Signature="sha256=" + "0" * 64) + last,
        "no signature": post(X_Contox_Signature=None) + last,
        "space behind a value": signed.replace(b"sha256", b" sha256").replace(b"json", b"json ")
        + last,
        "no JSON": post(b"{") + last,
        "empty": post(b"") + last,
        "too large": post(b" " * 2001),
        "media type": post(Content_Type="text/plain") + last,
        "chunked": unknown + chunked(EVENT) + signed + last,
        "another path between": signed + HEALTH + signed + last,
        "another method": signed.replace(b"POST", b"PUT", 1),
        "absolute form": signed.replace(PATH.encode(), b"http://x" + PATH.encode(), 1) + last,
        "HTTP/1.0": signed.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        "cut in the body": signed[:-5],
        "long head": signed.replace(b"Host", b"X-A: " + b"a" * HEAD_BYTES_MAX + b"\r\nHost") + last,
        "many, refused": post(X_Contox_Signature="sha256=x") * 500 + last,
        "lengths differ": signed.replace(b"Content-L", b"Content-Length: 1\r\nContent-L", 1),
        "plain and unsigned": head(b"Content-Length: 5\r\n") + b"hello" + last,
    }


NAMES = list(requests(Producer(0, "x", "x")))


@pytest.mark.parametrize("name", NAMES)
async def test_alike(both: tuple[Running, Running], name: str) -> None:
    """Whole, and cut at random places, the lane does what aiohttp does."""
    with_lane, without = both
    raw = requests(with_lane.producer)[name]
    expected = await seen(without, [raw])
    assert expected[0]
    assert await seen(with_lane, [raw]) == expected
    random = Random(name)
    for _ in range(3):
        cuts = sorted(random.sample(range(1, len(raw)), 4))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        assert await seen(with_lane, pieces) == expected


ODD = {**NOT_PLAIN, "not HTTP": b"hello\r\n\r\n"}


@pytest.mark.parametrize("name", [name for name in ODD if name != "cut short"])
async def test_smuggling(both: tuple[Running, Running], name: str) -> None:
    """A head that could be read in two ways is read as aiohttp reads it; nothing is let in."""
    raw = ODD[name] + b"hello"
    first, second = [await seen(running, [raw]) for running in both]
    assert first == second
    assert first[1] == []


async def test_served_here(running: Running, producer: Producer) -> None:
    """A plain request is the lane's own; after another one the connection is aiohttp's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", producer.port)
    writer.write(producer.request(timestamp=NOW))
    assert (await read_reply(reader)).status == 202
    assert isinstance(next(iter(running.gateway.connections._open)), Lane)
    writer.write(HEALTH)
    assert (await read_reply(reader)).status == 200
    (connection,) = running.gateway.connections._open
    assert not isinstance(connection, Lane)
    writer.close()
    await until(lambda: not running.gateway.connections._open)


async def test_reads_no_further(running: Running, producer: Producer) -> None:
    """What a client sends ahead is bounded: reading pauses, and goes on with the answers."""
    request = producer.request(timestamp=NOW)
    times = 4 * module.READ_AHEAD_BYTES // len(request)
    reader, writer = await asyncio.open_connection("127.0.0.1", producer.port)
    writer.write(request * times)
    for _ in range(times):
        assert (await read_reply(reader)).status == 202
    writer.close()


async def test_forgotten(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing is asked any more is closed."""
    monkeypatch.setattr(keep_alive, "KEEP_ALIVE_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_time_to_read_a_refusal(running: Running) -> None:
    """A connection that is about to close after a refusal is not closed before, for being idle."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.port)
    await until(lambda: len(running.gateway.connections._open) == 1)
    (lane,) = running.gateway.connections._open
    assert isinstance(lane, Lane)
    lane._refuse(Rejected(Reason.REQUEST_TIMEOUT))
    assert lane._keep_alive._timer is None
    assert (await read_reply(reader)).status == 408
    writer.close()
