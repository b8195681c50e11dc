"""`send` against a real gateway and queue: what arrives there, and what the person is told."""

import json
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import Command, Result, Target, free_port

PAYLOAD = '{ "z" : 1.0, "a":"\\u00e4\\/ü",\t"n":123456789012345678901234567890}'
TWICE = " (a line without an id of its own may then be stored twice)"
INVALID = '{"event":"saved","payload":5}'


def event(payload: str = "{}", **members: object) -> str:
    """An event's JSON, its payload as given."""
    return json.dumps({**members, "event": "saved"})[:-1] + f', "payload": {payload}}}'


def ndjson(lines: Iterable[str]) -> bytes:
    """The lines as a file."""
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture
def send(command: Command, target: Target) -> Command:
    """`contox-ingest send` with the gateway's address and credentials in its environment."""

    async def run(*arguments: object, stdin: bytes = b"", **environ: str) -> Result:
        return await command("send", *arguments, stdin=stdin, **{**target.credentials, **environ})

    return run


async def test_one_event(send: Command, target: Target) -> None:
    """An event from arguments is queued byte for byte; its id and durability are told."""
    result = await send("session_save", PAYLOAD)
    (row,) = await target.rows()
    told = f"Accepted (fsynced): event {row.event_id}, session {row.session_id}\n"
    assert result == (0, told, "")
    assert (row.event, row.payload) == ("session_save", PAYLOAD)
    assert UUID(row.event_id).version == 7


async def test_half_of_a_surrogate_pair(send: Command, target: Target) -> None:
    """A payload with an emoji that was cut in two is sent as any other."""
    assert (await send("saved", '{"cut":"\\ud83d"}')).status == 0
    assert (await target.rows())[0].payload == '{"cut":"\\ud83d"}'


async def test_one_event_as_json(send: Command, target: Target) -> None:
    """With --json the gateway's answer is printed, and the durability."""
    result = await send("saved", "--id", "mine", "--json")
    (row,) = await target.rows()
    answer = {"eventId": "mine", "sessionId": row.session_id, "status": "accepted"}
    assert (result.status, result.json) == (0, {**answer, "durability": "fsynced"})
    assert (row.event_id, row.payload) == ("mine", "{}")


async def test_credentials_from_options(command: Command, target: Target) -> None:
    """Address, project and secret may be options instead of variables."""
    options = [
        part
        for name, value in target.credentials.items()
        for part in ("--" + name.removeprefix("CONTOX_").lower(), value)
    ]
    assert (await command("send", *options, "saved")).status == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("saved", "{"), "contox-ingest: The payload is not JSON: "),
        (("saved", "{'a': 1}"), "contox-ingest: The payload is not JSON: "),
        (
            ("saved", "[1]"),
            "contox-ingest: The gateway refused the event (400 invalid_event): `payload` must be",
        ),
        (
            ("two words", "{}"),
            "contox-ingest: The gateway refused the event (400 invalid_event): `event` must be",
        ),
        ((), "contox-ingest: Name either an event, as in: send session_save '{}', or a --file."),
        (("saved", "--file", "x"), "contox-ingest: Name either an event"),
        (("--file", "missing"), "contox-ingest: missing cannot be read: No such file or directory"),
        (("--file", "/"), "contox-ingest: / cannot be read: Is a directory."),
    ],
    ids=["open", "quotes", "array", "event", "nothing", "both", "no-file", "directory"],
)
async def test_wrong_arguments(
    send: Command, target: Target, arguments: tuple[str, ...], told: str
) -> None:
    """What cannot be sent ends with status 1 and one sentence; nothing is queued."""
    result = await send(*arguments)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(told)
    assert await target.rows() == []


@pytest.mark.parametrize("missing", ["CONTOX_URL", "CONTOX_PROJECT", "CONTOX_SECRET"])
async def test_missing_credentials(send: Command, missing: str) -> None:
    """Without address, project or secret the command ends with status 2 and names what to give."""
    result = await send("saved", **{missing: ""})
    assert result.status == 2
    assert f"(env var: '{missing}')" in result.err


@pytest.mark.parametrize("stdin", [True, False], ids=["stdin", "file"])
async def test_file(send: Command, target: Target, tmp_path: Path, stdin: bool) -> None:
    """Lines from a file or standard input are sent in batches, payloads as they are, in order."""
    lines = [event(PAYLOAD), "", event(id="mine"), event('{"n":3}', id=None), event('{"n":4}')]
    path = tmp_path / "events.ndjson"
    path.write_bytes(ndjson(lines))
    source = ("-", path.read_bytes()) if stdin else (path, b"")
    result = await send("--file", source[0], "--batch-size", 3, stdin=source[1])
    assert result == (0, "4 events accepted (fsynced).\n", "")
    rows = await target.rows()
    assert [row.payload for row in rows] == [PAYLOAD, "{}", '{"n":3}', '{"n":4}']
    assert rows[1].event_id == "mine"
    assert {UUID(row.event_id).version for row in rows if row.event_id != "mine"} == {7}
    assert await target.queue.xlen("ingest:{0}") == 2


async def test_file_as_json(send: Command) -> None:
    """With --json the summary is printed for programs."""
    result = await send("--file", "-", "--json", stdin=ndjson([event(), event()]))
    assert result.status == 0
    assert result.json == {"accepted": 2, "durability": "fsynced", "rejected": []}


async def test_empty_file(send: Command) -> None:
    """A file without events sends nothing, and says so."""
    result = await send("--file", "-", stdin=b"\n \n")
    assert result == (0, "0 events accepted (none sent).\n", "")


async def test_rejected_lines(send: Command, target: Target) -> None:
    """Lines that the gateway does not take are listed by number, with status 1; the others stay."""
    lines = [event(), "nonsense", "", event(), INVALID, event(id="two words"), event()]
    result = await send("-f", "-", "--batch-size", 3, stdin=ndjson(lines))
    assert (result.status, result.out) == (1, "3 events accepted (fsynced).\n")
    *listed, last = result.err.splitlines()
    assert [line.partition(": ")[0] for line in listed] == ["line 2", "line 5", "line 6"]
    assert listed[2] == "line 6: `id` must be 1 to 64 characters of A-Z a-z 0-9 _ . : -"
    assert last == "contox-ingest: 3 events were rejected."
    assert len(await target.rows()) == 3


async def test_rejected_lines_as_json(send: Command) -> None:
    """With --json the rejected lines are in the summary, with the contract's codes."""
    result = await send("-f", "-", "--json", stdin=ndjson([INVALID, event(), "nonsense"]))
    assert (result.status, result.err) == (1, "contox-ingest: 2 events were rejected.\n")
    assert result.json["accepted"] == 1
    rejected = [(r["line"], r["code"]) for r in result.json["rejected"]]
    assert rejected == [(1, "invalid_event"), (3, "invalid_json")]
    assert all(r["error"] for r in result.json["rejected"])


async def test_many_rejected_lines(send: Command) -> None:
    """Only the first twenty rejected lines are listed to a person; their number is told."""
    result = await send("-f", "-", stdin=ndjson([INVALID] * 30 + [event()]))
    *listed, last = result.err.splitlines()
    assert [line.partition(":")[0] for line in listed] == [f"line {n}" for n in range(1, 21)]
    assert last == "contox-ingest: 30 events were rejected."


async def test_refused_batch(send: Command, target: Target) -> None:
    """When a whole request is refused, each line is listed with its own fault."""
    lines = ["nonsense", INVALID, event()]
    result = await send("-f", "-", "--batch-size", 2, "--json", stdin=ndjson(lines))
    assert result.status == 1
    rejected = [(r["line"], r["code"]) for r in result.json["rejected"]]
    assert rejected == [(1, "invalid_json"), (2, "invalid_event")]
    assert (result.json["accepted"], len(await target.rows())) == (1, 1)


@pytest.mark.filterwarnings("ignore:Sending a large body")  # of aiohttp's client, for 1 MiB
@pytest.mark.parametrize("size", [3_000, 1_500_000], ids=["event-limit", "body-limit"])
async def test_line_over_a_limit(send: Command, target: Target, size: int) -> None:
    """A line over the limit for events or for bodies is listed; its neighbours are taken."""
    lines = [event(), event(json.dumps({"x": "a" * size})), event()]
    result = await send("-f", "-", "--json", stdin=ndjson(lines))
    assert result.status == 1
    assert [(r["line"], r["code"]) for r in result.json["rejected"]] == [(2, "too_large")]
    assert (result.json["accepted"], len(await target.rows())) == (2, 2)


async def test_wrong_secret(send: Command, target: Target) -> None:
    """A secret that does not verify ends at once with what to check, and nothing of clocks."""
    result = await send("saved", CONTOX_SECRET="whsec_other")
    told = "contox-ingest: The gateway refused the credentials: check project and secret.\n"
    assert result == (1, "", told)
    assert await target.rows() == []


async def test_from_line(send: Command, target: Target) -> None:
    """--from-line leaves out the lines before it, and numbers count from the file's start."""
    lines = [event(id="a"), event(id="b"), event(id="c"), INVALID]
    result = await send("-f", "-", "--from-line", 3, "--json", stdin=ndjson(lines))
    assert [row.event_id for row in await target.rows()] == ["c"]
    assert [r["line"] for r in result.json["rejected"]] == [4]


async def test_no_gateway(send: Command) -> None:
    """Where nobody answers, it gives up after --retry-for, and says where to go on."""
    url = f"http://127.0.0.1:{free_port()}"
    lines = ["", "", event(), event()]
    result = await send("-f", "-", "--retry-for", 0.1, stdin=ndjson(lines), CONTOX_URL=url)
    assert (result.status, result.out) == (1, "")
    *_, gave_up, go_on = result.err.splitlines()
    assert gave_up.startswith(
        f"contox-ingest: Gave up after 0.1 s of retries: no answer from {url}"
    )
    assert go_on == f"0 events are accepted; go on with --from-line 3{TWICE}"


async def test_refused_as_a_whole(send: Command, target: Target) -> None:
    """An answer that every request would get ends the sending at the first one."""
    lines = [event()] * 10
    url = target.url + "/elsewhere"
    result = await send("-f", "-", "--batch-size", 2, stdin=ndjson(lines), CONTOX_URL=url)
    first, second = result.err.splitlines()
    assert first.startswith("contox-ingest: The gateway refused the events (404 not_found): ")
    assert second == f"0 events are accepted; go on with --from-line 1{TWICE}"


async def test_smaller_limits(send: Command, target: Target) -> None:
    """A batch over the gateway's limits is sent in parts, and everything in it is taken."""
    result = await send("-f", "-", "--json", stdin=ndjson([event() for _ in range(250)]))
    assert (result.status, result.json["accepted"], result.json["rejected"]) == (0, 250, [])
    assert len({row.event_id for row in await target.rows()}) == 250


async def test_rejected_before_a_failure(command: Command) -> None:
    """When it ends early, the lines that were rejected until then are listed."""
    rejected = [{"index": 0, "error": "Not so", "code": "invalid_event"}]
    partly = web.json_response({"accepted": 1, "rejected": rejected}, status=202)
    answers = [partly, web.json_response({"error": "No", "code": "forbidden"}, status=403)]

    async def answer(_request: web.Request) -> web.Response:
        return answers.pop(0)

    app = web.Application()
    app.router.add_post("/api/v2/ingest", answer)
    async with TestServer(app) as server:
        options = ("--url", server.make_url("/"), "--project", "p", "--secret", "s")
        lines = ndjson([INVALID, event(), event()])
        result = await command("send", *options, "-f", "-", "--batch-size", 2, stdin=lines)
    assert result.err.splitlines() == [
        "line 1: Not so",
        "contox-ingest: The gateway refused the events (403 forbidden): No",
        f"1 events are accepted; go on with --from-line 3{TWICE}",
    ]
