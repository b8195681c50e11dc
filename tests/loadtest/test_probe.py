"""The probe against a real gateway, and against whatever else may answer at an address."""

import asyncio
import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from gateway.main import Gateway
from loadtest import probe as module
from loadtest.plan import Plan
from loadtest.probe import ProbeError, probe
from tests.conftest import free_port
from tests.loadtest.conftest import Answered, Serve, always, in_turn, plan_for, refusal, reply


async def probed(plan: Plan, now_s: int | None = None) -> str:
    """What the probe has to say; nothing if all is well."""
    try:
        await asyncio.to_thread(probe, plan, int(time.time()) if now_s is None else now_s)
    except ProbeError as error:
        return str(error)
    return ""


async def test_gateway(gateway: Gateway, queue: Redis) -> None:
    """A gateway that takes the credentials passes, and nothing is stored by that."""
    before = await queue.dbsize()
    assert await probed(plan_for(gateway.port)) == ""
    assert await queue.exists("ingest:{0}") == 0
    assert before <= 1


@pytest.mark.parametrize(
    "changed",
    [
        lambda plan: {"secret": "whsec_other"},
        lambda plan: {"secret": ""},
        lambda plan: {"project": "proj_2"},
    ],
    ids=["secret", "no-secret", "project"],
)
async def test_credentials(gateway: Gateway, changed: Callable[[Plan], dict[str, object]]) -> None:
    """Wrong credentials are one sentence that says what to check."""
    plan = plan_for(gateway.port, **changed(plan_for()))
    told = await probed(plan)
    assert told == "The gateway refused the credentials: check project, secret and clock."


async def test_clock(gateway: Gateway) -> None:
    """A clock that is off is said to be one of the causes of a 401."""
    assert "clock" in await probed(plan_for(gateway.port), now_s=1_000)


async def test_nothing_there() -> None:
    """An address where nothing listens is named, with the cause."""
    port = free_port()
    told = await probed(plan_for(port))
    assert told.startswith(f"Nothing answers at http://127.0.0.1:{port}: ")
    assert "refused" in told
    assert told.count("\n") == 0


async def test_unknown_host() -> None:
    """A name that does not resolve is told like any address where nothing answers."""
    told = await probed(plan_for(url="http://nowhere.invalid"))
    assert told.startswith("Nothing answers at http://nowhere.invalid: ")


async def test_silence(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that takes the request and says nothing is given up on."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    stub = await serve(always(reply(), delay_s=60))
    assert (await probed(plan_for(stub.port))).startswith("Nothing answers at ")


@pytest.mark.parametrize(
    ("answered", "says"),
    [
        (refusal(400, "empty_batch"), ""),
        (refusal(401, "unauthorized"), "refused the credentials"),
        (refusal(503, "queue_unavailable"), "not ready: .*queue_unavailable"),
        (refusal(400, "invalid_json"), r"does not answer as a gateway does \(status 400\)"),
        (refusal(404, "not_found"), r"\(status 404\)"),
        (reply(), r"does not answer as a gateway does \(status 200\)"),
        (reply(200, b"<html>hello"), r"\(status 200\)"),
        (reply(404, b""), r"\(status 404\)"),
        (reply(400, b'["empty_batch"]'), r"\(status 400\)"),
        (reply(400, b'{"code":1}'), r"\(status 400\)"),
        (reply(503, b"\xff"), "not ready"),
        (None, "Nothing answers"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", None], "answer"),
    ],
    ids=[
        "gateway",
        "401",
        "503",
        "other-code",
        "404",
        "202",
        "page",
        "empty",
        "array",
        "number",
        "no-utf8",
        "cut",
        "cut-in-the-body",
    ],
)
async def test_answers(answered: Answered, says: str, serve: Serve) -> None:
    """Only an empty batch's refusal is a gateway's; anything else is one sentence."""
    stub = await serve(in_turn(answered))
    told = await probed(plan_for(stub.port))
    assert "\n" not in told
    if says:
        with pytest.raises(ProbeError, match=says):
            raise ProbeError(told)
    else:
        assert told == ""
    assert len(stub.requests) == 1
    assert stub.requests[0].endswith(b"\r\n\r\n[]")


async def test_no_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe goes straight to the target, whatever proxy the environment names."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    stub = await serve(always(refusal(400, "empty_batch")))
    assert await probed(plan_for(stub.port)) == ""
