"""Each hostile request against a real gateway, by the contract; wrong answers from a stub."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from core.errors import Reason
from core.metrics import Metric
from core.partitions import stream_key
from gateway.main import Gateway
from loadtest import hostile
from loadtest.hostile import KINDS, Kind, Mixed, slow_bodies, vanishing_clients
from loadtest.requests import Requests
from tests.loadtest.conftest import (
    Answered,
    Serve,
    always,
    plan_for,
    refusal,
    reply,
    send,
    until,
)
from tests.raw_http import Producer, exchange

UNAUTHORIZED = refusal(401, "unauthorized")


def requests_for(port: int, **changed: object) -> Requests:
    """The good requests beside the hostile ones."""
    return Requests(plan_for(port, profile="hostile", **changed), 0)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something that does not end by itself as long as the context lasts."""
    task = asyncio.create_task(work)
    yield
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
async def test_kind(kind: Kind, gateway: Gateway) -> None:
    """A gateway gives each kind the answer that is expected of it, and takes nothing."""
    answer = await exchange(gateway.port, kind.make(requests_for(gateway.port)))
    assert f"{answer.status} {answer.json['code']}" == kind.expect


def test_expectations_are_the_contract() -> None:
    """Each expected answer is one of the closed list of reasons."""
    assert {kind.expect for kind in KINDS} <= {f"{r.status} {r.code}" for r in Reason}
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_share(share: float) -> None:
    """Hostile requests are mixed in at the share that is set, every kind of them."""
    mixed = Mixed(requests_for(1), share=share, seed=1)
    made = Counter(mixed.next().name for _ in range(2_000))
    assert made[""] / 2_000 == pytest.approx(1 - share, abs=0.04)
    assert made.keys() - {""} == ({kind.name for kind in KINDS} if share else set())


def test_seed() -> None:
    """A seed mixes in the same kinds again, another seed others."""
    names = []
    for seed in (1, 1, 2):
        mixed = Mixed(requests_for(1), share=0.5, seed=seed)
        names.append([mixed.next().name for _ in range(100)])
    assert names[0] == names[1] != names[2]


async def test_real_gateway(gateway: Gateway, queue: Redis) -> None:
    """In a hostile load the good requests are taken, and the rest refused by the contract."""
    plan = plan_for(gateway.port, profile="hostile", rate_s=150.0, duration_s=1.0, verify=True)
    tally = await send(plan, Mixed(Requests(plan, 0), share=0.3, seed=2))
    counts = tally.counts
    assert counts.wrong == {}
    assert counts.refused.keys() == {kind.expect for kind in KINDS}
    assert counts.accepted > 70
    assert counts.accepted + sum(counts.refused.values()) == counts.offered == 150
    assert tally.acknowledged is not None
    assert len(tally.acknowledged) == counts.accepted == counts.events
    assert await queue.xlen(stream_key(0)) == counts.accepted


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (reply(), {kind.name: "202 " for kind in KINDS}),
        (
            refusal(401, "unauthorized"),
            {k.name: "401 unauthorized" for k in KINDS if k.expect[:3] != "401"},
        ),
        (
            refusal(400, "invalid_json"),
            {k.name: "400 invalid_json" for k in KINDS if k.expect[:3] != "400"},
        ),
        (refusal(401, "forbidden"), {kind.name: "401 forbidden" for kind in KINDS}),
        (refusal(503, "backlog_full"), {}),
    ],
    ids=["202", "401", "400", "other-code", "503"],
)
async def test_wrong_answers(answer: bytes, wrong: dict[str, str], serve: Serve) -> None:
    """Each answer that the contract does not give is counted, by kind; overload is not one."""
    stub = await serve(always(answer))
    plan = plan_for(stub.port, rate_s=300.0)
    tally = await send(plan, Mixed(Requests(plan, 0), share=1.0, seed=1))
    assert tally.counts.wrong.keys() == {f"{name}: {answer}" for name, answer in wrong.items()}
    assert sum(tally.counts.refused.values()) == tally.counts.offered == 30
    if len(wrong) == len(KINDS):
        assert sum(tally.counts.wrong.values()) == 30
    assert tally.counts.accepted == tally.counts.retried == 0


async def test_slow_bodies(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway answers a body that stops half-way 408, which is right."""
    monkeypatch.setattr(hostile, "ASIDE_S", 0.01)
    wrong: dict[str, int] = {}
    async with beside(slow_bodies("127.0.0.1", gateway.port, requests_for(gateway.port), wrong)):
        meter = gateway.endpoint._meter
        await until(lambda: meter.get(Metric.REQUESTS, "408", "request_timeout") == 1)
        await asyncio.sleep(0.1)  # for the answer to arrive
    assert wrong == {}


@pytest.mark.parametrize(
    ("answered", "name"),
    [
        (b"HTTP/1.1 400 Bad\r\n\r\n", "slow body: 400"),
        (reply(), "slow body: 202"),
        (None, "slow body: no answer"),
        (b"", "slow body: TimeoutError"),
    ],
    ids=["400", "202", "closed", "silent"],
)
async def test_wrong_answers_to_slow_bodies(
    answered: Answered, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other answer to a body that stops half-way is counted, and so is none."""
    monkeypatch.setattr(hostile, "ASIDE_S", 0.01)
    monkeypatch.setattr(hostile, "SLOW_BODY_S", 0.1)
    wrong: dict[str, int] = {}
    halves: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        halves.append(await reader.read(10_000))
        if answered:
            writer.write(answered)
        if answered is None:
            writer.close()
        else:
            await reader.read()
            writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with beside(slow_bodies("127.0.0.1", port, requests_for(port), wrong)):
            await until(lambda: wrong.get(name, 0) >= 2)
    assert wrong.keys() == {name}
    assert all(half.endswith(b'Length: 33\r\n\r\n{"event":"loadtest","payload') for half in halves)


async def test_vanishing_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients leave before the answer, with the whole request sent and half of it by turns."""
    monkeypatch.setattr(hostile, "ASIDE_S", 0.01)
    sent: list[bytes] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(10_000):
                data += more
        sent.append(data)
        writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with beside(vanishing_clients("127.0.0.1", port, requests_for(port))):
            await until(lambda: len(sent) >= 4)
    assert [data.endswith(b"\r\n\r\n[]") for data in sent[:4]] == [True, False, True, False]
    assert all(data.endswith(b"\r\n\r\n[") for data in sent[1:4:2])


async def test_gateway_survives(
    gateway: Gateway, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that clients leave goes on accepting, and has taken nothing of theirs."""
    monkeypatch.setattr(hostile, "ASIDE_S", 0.005)
    requests = requests_for(gateway.port)
    async with beside(vanishing_clients("127.0.0.1", gateway.port, requests)):
        await asyncio.sleep(0.3)
        answer = await Producer(gateway.port, "proj_1", "whsec_test").post()
    assert answer.status == 202
    assert await queue.xlen(stream_key(0)) == 1
