"""Retries and their waits, against a stub server whose answers the test writes down."""

import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web

from cli.errors import CliError
from cli.sender import Sender, _retry_after_s
from core.auth import sign
from tests.cli.conftest import free_port

BODY = b'{"event":"saved","payload":{}}'
ACCEPTED = '{"eventId":"a","sessionId":"s","status":"accepted"}'


class Answer(NamedTuple):
    """What the stub answers; status 0 closes the connection instead."""

    status: int = 202
    headers: dict[str, str] = {}
    text: str = ACCEPTED


class Stub:
    """A server that gives its answers in order, the last one again and again."""

    def __init__(self) -> None:
        self.answers = [Answer()]
        self.requests: list[tuple[dict[str, str], bytes, float]] = []
        self.told: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Keep the request, give the next answer."""
        assert request.path == "/api/v2/ingest"
        self.requests.append((dict(request.headers), await request.read(), time.monotonic()))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer.status == 0:
            assert request.transport is not None
            request.transport.close()
        return web.Response(
            status=answer.status or 500, headers=answer.headers or None, text=answer.text
        )


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A stub on a free port."""
    stub, app = Stub(), web.Application()
    app.router.add_post("/{path:.*}", stub.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


Connect = Callable[..., Sender]


@pytest.fixture
async def connect(stub: Stub) -> AsyncIterator[Connect]:
    """Make a sender to the stub, with some of its arguments changed."""
    async with aiohttp.ClientSession() as client:

        def connect_with(url: str = "", retry_s: float = 20) -> Sender:
            return Sender(
                client,
                url=url or stub.url,
                project="proj_1",
                secret="whsec_test",
                retry_s=retry_s,
                on_retry=stub.told.append,
            )

        yield connect_with


@pytest.fixture
def sender(connect: Connect) -> Sender:
    """A sender to the stub."""
    return connect()


async def test_signed(stub: Stub, sender: Sender) -> None:
    """A request carries project, time and a signature over exactly its body."""
    await sender.post(BODY, "application/json")
    ((headers, body, _),) = stub.requests
    timestamp_s = int(headers["X-Contox-Timestamp"])
    assert body == BODY
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Contox-Project"] == "proj_1"
    expected = sign("whsec_test", timestamp_s=timestamp_s, body=BODY)
    assert headers["X-Contox-Signature"] == expected
    assert abs(timestamp_s - time.time()) < 10


async def test_address_with_slash(stub: Stub, connect: Connect) -> None:
    """A slash at the end of the gateway's address does no harm."""
    assert (await connect(stub.url + "/").post(BODY, "application/json")).status == 202


@pytest.mark.parametrize("status", [202, 400, 403, 404, 405, 413, 415])
async def test_final(stub: Stub, sender: Sender, status: int) -> None:
    """An answer that time does not change is given back after one attempt."""
    stub.answers = [Answer(status, {"X-Contox-Durability": "fsynced"}, '{"code":"x"}')]
    assert await sender.post(BODY, "application/json") == (status, {"code": "x"}, "fsynced")
    assert (len(stub.requests), stub.told) == (1, [])


@pytest.mark.parametrize("text", ['{"ok":true}', "[]", "<html>"])
async def test_not_a_gateway(stub: Stub, sender: Sender, text: str) -> None:
    """A 202 that no gateway gives ends the command with a sentence."""
    stub.answers = [Answer(202, {}, text)]
    with pytest.raises(CliError, match="does not answer as a gateway does"):
        await sender.post(BODY, "application/json")


async def test_redirect(stub: Stub, sender: Sender) -> None:
    """A redirect is not followed: it would send the event to another address, or as a GET."""
    stub.answers = [Answer(301, {"Location": "/elsewhere"}, "")]
    assert (await sender.post(BODY, "application/json")).status == 301
    assert len(stub.requests) == 1


async def test_line_break(connect: Connect) -> None:
    """A project that no header can carry ends the command with a sentence."""
    sender = connect()
    sender._project = "proj\n1"
    with pytest.raises(CliError, match="The request cannot be made"):
        await sender.post(BODY, "application/json")


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
async def test_retried(stub: Stub, sender: Sender, status: int) -> None:
    """A failure that time cures, a closed connection among them, is tried again and told."""
    stub.answers = [Answer(status, {}, '{"error":"Not now"}'), Answer()]
    assert (await sender.post(BODY, "application/json")).status == 202
    assert len(stub.requests) > 1
    assert {body for _, body, _ in stub.requests} == {BODY}
    told = f"{status} Not now; again in " if status else f"no answer from {stub.url}"
    assert stub.told
    assert all(sentence.startswith(told) for sentence in stub.told)


async def test_retry_after(stub: Stub, sender: Sender) -> None:
    """No attempt comes before the seconds that Retry-After asks for; the next is signed anew."""
    stub.answers = [Answer(503, {"Retry-After": "2"}), Answer()]
    await sender.post(BODY, "application/json")
    (first, _, first_s), (second, _, second_s) = stub.requests
    assert 1.9 < second_s - first_s < 4
    assert int(second["X-Contox-Timestamp"]) > int(first["X-Contox-Timestamp"])
    assert stub.told[0].endswith("; again in 2.0 s")


async def test_retry_after_too_late(stub: Stub, connect: Connect) -> None:
    """A Retry-After beyond the time left for retries ends them at once."""
    stub.answers = [Answer(503, {"Retry-After": "60"}, '{"error":"The backlog is full"}')]
    started_s = time.monotonic()
    with pytest.raises(CliError) as gave_up:
        await connect(retry_s=5).post(BODY, "application/json")
    assert str(gave_up.value) == "Gave up after 5 s of retries: 503 The backlog is full"
    assert len(stub.requests) == 1
    assert time.monotonic() - started_s < 4


async def test_gives_up(stub: Stub, connect: Connect) -> None:
    """A failure that lasts is tried again with growing waits, until the time has passed."""
    stub.answers = [Answer(502, {}, "<html>Bad gateway</html>")]
    with pytest.raises(CliError, match=r"^Gave up after 1 s of retries: 502 not an answer of a"):
        await connect(retry_s=1).post(BODY, "application/json")
    assert len(stub.requests) >= 2
    assert len(stub.told) == len(stub.requests) - 1


async def test_no_server(connect: Connect) -> None:
    """Where nobody listens, the sentence names the address and the cause, and what to look at."""
    url = f"http://127.0.0.1:{free_port()}"
    said = (
        rf"^Gave up after 0 s of retries: no answer from {url}/api/v2/ingest: Connection refused; "
    )
    with pytest.raises(CliError, match=rf"{said}.* CONTOX_URL "):
        await connect(url, retry_s=0).post(BODY, "application/json")


async def test_no_such_host(connect: Connect) -> None:
    """The same of a name that nobody has."""
    with pytest.raises(CliError, match=r"no answer from http://no\.invalid/api/v2/ingest: .*\w"):
        await connect("http://no.invalid", retry_s=0).post(BODY, "application/json")


@pytest.mark.parametrize("text", ["", "<html>", "[1]", "5"])
async def test_accepted_by_no_gateway(stub: Stub, sender: Sender, text: str) -> None:
    """An answer that is not a JSON object says that it is not a gateway's."""
    stub.answers = [Answer(404, {}, text)]
    reply = await sender.post(BODY, "application/json")
    assert reply.content["error"].startswith("not an answer of a gateway: b'")


@pytest.mark.parametrize(
    ("offset_s", "hint"),
    [
        (-1000, " This machine's clock is 1000 s ahead of the gateway's."),
        (1000, " This machine's clock is 1000 s behind the gateway's."),
        (-50, ""),
        (50, ""),
        (None, ""),
    ],
    ids=["ahead", "behind", "a-little-ahead", "a-little-behind", "not-a-date"],
)
async def test_unauthorized(stub: Stub, sender: Sender, offset_s: int | None, hint: str) -> None:
    """A 401 ends at once with what to check; a clock that is off by minutes is named."""
    date = "today" if offset_s is None else formatdate(time.time() + offset_s, usegmt=True)
    stub.answers = [Answer(401, {"Date": date})]
    with pytest.raises(CliError) as refused:
        await sender.post(BODY, "application/json")
    sentence = str(refused.value).replace("999", "1000").replace("1001", "1000")
    assert sentence == "The gateway refused the credentials: check project and secret." + hint
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("1_0", 0),
        ("²", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
    ],
)
def test_retry_after_values(value: str, seconds: float) -> None:
    """Only whole seconds count as Retry-After; anything else is as if it were missing."""
    assert _retry_after_s({"Retry-After": value}) == seconds
    assert _retry_after_s({}) == 0


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080", "ftp://x", "example.org"])
async def test_no_address(connect: Connect, url: str) -> None:
    """An address that is none ends at once with how one begins."""
    with pytest.raises(CliError) as error:
        connect(url)
    assert str(error.value) == f"The address '{url}' must begin with http:// or https://."
