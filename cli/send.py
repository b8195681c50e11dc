"""`contox-ingest send`: one event, or a file of them."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

import aiohttp
import msgspec
import orjson
import typer
import uuid_utils
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from cli.errors import CliError
from cli.ndjson import Batch, batches
from cli.options import Json
from cli.output import print_json, stderr, stdout
from cli.sender import Reply, Sender
from core.halves import decode_kept

REJECTED_SHOWN = 20
HALVED = (400, 413)  # answers to a batch as a whole that a part of it may not deserve
OF_THE_EVENTS = (202, *HALVED)  # any other answer would be every batch's

Url = Annotated[str, typer.Option(envvar="CONTOX_URL", help="The gateway's address.")]
ProjectId = Annotated[str, typer.Option(envvar="CONTOX_PROJECT", help="The project's id.")]
SecretText = Annotated[
    str,
    typer.Option(
        envvar="CONTOX_SECRET",
        help="The project's secret; the variable keeps it out of process listings.",
    ),
]
EventType = Annotated[str | None, typer.Argument(help="The event's type, e.g. session_save.")]
Payload = Annotated[str, typer.Argument(help="The event's payload, a JSON object.")]
EventId = Annotated[str | None, typer.Option("--id", help="The event's id, instead of a UUIDv7.")]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="One event per line; - is standard input.")
]
BatchSize = Annotated[int, typer.Option(min=1, max=5000, help="Most events in one request.")]
FromLine = Annotated[int, typer.Option(min=1, help="Skip the lines of the file before this one.")]
RetryFor = Annotated[float, typer.Option(min=0, help="Seconds to keep retrying a request.")]


@dataclass
class Summary:
    """What became of the events of a file."""

    accepted: int = 0
    durability: str = ""
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def add(self, batch: Batch, reply: Reply) -> None:
        """Count the answer to one batch."""
        if reply.status != 202:
            sentence, code = reply.content.get("error", ""), reply.content.get("code", "")
            refused = [(index, sentence, code) for index in range(len(batch.lines))]
        else:
            self.accepted += reply.content["accepted"]
            self.durability = reply.durability
            refused = [(r["index"], r["error"], r["code"]) for r in reply.content["rejected"]]
        for index, sentence, code in refused:
            self.rejected.append({"line": batch.numbers[index], "error": sentence, "code": code})


def send(
    url: Url,
    project: ProjectId,
    secret: SecretText,
    event: EventType = None,
    payload: Payload = "{}",
    event_id: EventId = None,
    file: File = None,
    batch_size: BatchSize = 500,
    from_line: FromLine = 1,
    retry_for: RetryFor = 60.0,
    json: Json = False,
) -> None:
    """Send one event, or with --file many; every one gets an id, so that retries are harmless."""
    if (event is None) == (file is None):
        raise CliError("Name either an event, as in: send session_save '{}', or a --file.")

    async def run() -> None:
        async with aiohttp.ClientSession() as client:
            sender = Sender(
                client,
                url=url,
                project=project,
                secret=secret,
                retry_s=retry_for,
                on_retry=lambda sentence: stderr.print(sentence, markup=False, soft_wrap=True),
            )
            if event is not None:
                await _send_one(sender, _event_body(event, payload, event_id), json)
            elif file is not None:
                await _send_file(sender, file, batch_size, from_line, json)

    asyncio.run(run())


def _event_body(event: str, payload: str, event_id: str | None) -> bytes:
    """The event as JSON, the payload byte for byte as given."""
    members = {"id": event_id or str(uuid_utils.uuid7()), "event": event}
    try:
        decode_kept(msgspec.json.Decoder(msgspec.Raw).decode, payload.encode())
        return orjson.dumps({**members, "payload": orjson.Fragment(payload)})
    except (msgspec.DecodeError, RecursionError, UnicodeError, orjson.JSONEncodeError) as error:
        raise CliError(f"The payload is not JSON: {error}") from None


async def _send_one(sender: Sender, body: bytes, json: bool) -> None:
    reply = await sender.post(body, "application/json")
    if reply.status != 202:
        raise CliError(f"The gateway refused the event {_why(reply)}")
    if json:
        print_json({**reply.content, "durability": reply.durability})
        return
    stdout.print(
        f"Accepted ({reply.durability}): event {reply.content['eventId']},"
        f" session {reply.content['sessionId']}",
        soft_wrap=True,
    )


def _why(reply: Reply) -> str:
    code, sentence = reply.content.get("code", "no code"), reply.content.get("error", "")
    return f"({reply.status} {code}): {sentence}"


async def _send_file(
    sender: Sender, path: Path, batch_size: int, from_line: int, json: bool
) -> None:
    summary = Summary()
    with _open(path) as (file, size), _progress() as progress:
        bar = progress.add_task("sending", total=size, events=0)
        for batch in batches(file, events_max=batch_size, from_line=from_line):
            try:
                await _deliver(sender, batch, summary)
            except CliError:
                _list_rejected(summary)  # --from-line will not meet them again
                raise
            progress.update(bar, completed=batch.end, events=summary.accepted)
    _report(summary, json)


async def _deliver(sender: Sender, batch: Batch, summary: Summary) -> None:
    """Send a batch; one that is refused as a whole is halved, to learn what is wrong with which."""
    try:
        reply = await sender.post(batch.body(), "application/x-ndjson")
        if reply.status not in OF_THE_EVENTS:
            raise CliError(f"The gateway refused the events {_why(reply)}")
    except CliError as error:
        raise CliError(
            f"{error}\n{summary.accepted:,} events are accepted;"
            f" go on with --from-line {batch.numbers[0]}"
            " (a line without an id of its own may then be stored twice)"
        ) from None
    if reply.status in HALVED and len(batch.lines) > 1:
        for half in batch.halves():
            await _deliver(sender, half, summary)
    else:
        summary.add(batch, reply)


def _report(summary: Summary, json: bool) -> None:
    """Print what became of the events. Ends with status 1 if any was rejected."""
    count = len(summary.rejected)
    if json:
        print_json(
            {
                "accepted": summary.accepted,
                "durability": summary.durability,
                "rejected": summary.rejected,
            }
        )
    else:
        stdout.print(f"{summary.accepted:,} events accepted ({summary.durability or 'none sent'}).")
        _list_rejected(summary)
    if count:
        raise CliError(f"{count:,} events were rejected.")


def _list_rejected(summary: Summary) -> None:
    for refusal in summary.rejected[:REJECTED_SHOWN]:
        line = f"line {refusal['line']}: {refusal['error']}"
        stderr.print(line, markup=False, soft_wrap=True)


@contextmanager
def _open(path: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file and its size in bytes, None if it is a stream."""
    if str(path) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        yield file, path.stat().st_size if path.is_file() else None


def _progress() -> Progress:
    """A bar that shows only where a person watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeElapsedColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    )
