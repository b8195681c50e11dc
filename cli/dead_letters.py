"""`contox-ingest dead-letters …`: list, show, replay and purge what the store has refused."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import typer
from redis.asyncio import Redis

from cli.datadir import queue_environ
from cli.errors import CliError
from cli.find_project import find_project
from cli.options import DataDirectory, Json
from cli.output import ON_ONE_LINE, print_json, print_table, stderr, stdout
from core.codec import BODY
from core.dead_letter import to_replay
from core.errors import Refused, Unavailable
from core.event import rfc_3339
from core.ledger import UNKNOWN
from core.settings import read
from runtime import dead_letters
from runtime.dead_letters import Letter, LetterId, Letters, Outcome, parse_id
from runtime.queue import QUEUE_ERRORS, open_queue
from store.accounts import SqlProjects
from store.engine import open_engine
from store.migrate import migrate_at_start

app = typer.Typer(
    no_args_is_help=True, help="List, show, replay and purge what the store has refused."
)
LIST = "list them with: contox-ingest dead-letters list"
Value = TypeVar("Value")
Change = Callable[[Redis, Sequence[LetterId]], Awaitable[list[Outcome]]]

ProjectName = Annotated[
    str | None,
    typer.Option("--project", help="Only those of this project, by its name or id; ? is unknown."),
]
Limit = Annotated[int, typer.Option(min=1, help="Most dead letters to show, newest first.")]
Cursor = Annotated[str | None, typer.Option(help="Continue where an earlier listing ended.")]
OneId = Annotated[str, typer.Argument(metavar="ID", help="The dead letter's id.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The dead letters' ids.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of the project.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Raw = Annotated[bool, typer.Option("--raw", help="Print the payload alone, byte for byte.")]


class Open(NamedTuple):
    """The queue, and what of it is meant."""

    queue: Redis
    partitions: int
    project: str | None  # an id; None means all


@app.command("list")
def list_(
    project: ProjectName = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """List dead letters, newest first."""

    async def run(opened: Open) -> Letters:
        letters: list[Letter] = []
        after = cursor
        while len(letters) < limit:
            page = await dead_letters.page(
                opened.queue,
                opened.partitions,
                project=opened.project,
                limit=limit - len(letters),
                cursor=after,
            )
            letters, after = letters + page.letters, page.cursor
            if after is None:
                break
        return Letters(letters, after)

    if cursor is not None:
        _parsed(cursor, "--cursor")
    found = _with_queue(run, data_dir, project)
    if json:
        print_json([dead_letters.public(letter) for letter in found.letters])
    else:
        columns = ("id", "since", "project", "event", "why")
        print_table(columns, map(_line, found.letters), nothing=_none(project))
    if found.cursor:
        stderr.print(f"There are more; go on with --cursor {found.cursor}", soft_wrap=True)


@app.command()
def show(
    letter_id: OneId, json: Json = False, raw: Raw = False, data_dir: DataDirectory = None
) -> None:
    """Show a dead letter: why it is one, and all that it holds."""
    wanted = _parsed(letter_id)

    async def run(opened: Open) -> Letter | None:
        return await dead_letters.find(opened.queue, wanted)

    letter = _with_queue(run, data_dir)
    if letter is None:
        raise CliError(f"There is no dead letter {wanted}; {LIST}")
    if json:
        print_json(dead_letters.public(letter))
    elif raw:
        sys.stdout.buffer.write(_content(letter))
        sys.stdout.buffer.flush()
    else:
        _print(letter)


@app.command()
def replay(
    ids: Ids = None, all_: All = False, project: ProjectName = None, data_dir: DataDirectory = None
) -> None:
    """Put dead letters back into the queue, for the worker to store; once, however often asked."""
    wanted = _chosen(ids, all_, project)
    found = wanted or _with_queue(_all, data_dir, project)
    if not found:
        stdout.print(_none(project))
        return
    outcomes = _change(dead_letters.replay, found, data_dir)
    stdout.print(f"Replayed {_number(outcomes.count(Outcome.DONE))}.")
    _tell_of_others(found if wanted else [], outcomes)


@app.command()
def purge(
    ids: Ids = None,
    all_: All = False,
    project: ProjectName = None,
    yes: Yes = False,
    data_dir: DataDirectory = None,
) -> None:
    """Delete dead letters for ever; asks first."""
    wanted = _chosen(ids, all_, project)
    found = wanted or _with_queue(_all, data_dir, project)
    if not found:
        stdout.print(_none(project))
        return
    if not yes:
        of = f" of project {project}" if project else " of all projects" if all_ else ""
        _confirm(f"Purge {_number(len(found))}{of}?", len(found))
    outcomes = _change(dead_letters.purge, found, data_dir)
    stdout.print(f"Purged {_number(outcomes.count(Outcome.DONE))}.")
    _tell_of_others(found if wanted else [], outcomes)


def _with_queue(
    run: Callable[[Open], Awaitable[Value]], data_dir: Path | None, project: str | None = None
) -> Value:
    """What `run` gives on the queue that the environment means. Raises CliError."""

    async def on_queue() -> Value:
        async with _open(data_dir, project) as opened:
            return await run(opened)

    return asyncio.run(on_queue())


@asynccontextmanager
async def _open(data_dir: Path | None, project: str | None) -> AsyncIterator[Open]:
    settings = read(queue_environ(data_dir, os.environ))
    found = project
    if project not in (None, UNKNOWN):
        found = await _project_id(settings.database_url, project)
    queue = open_queue(settings.redis_url)
    try:
        yield Open(queue, settings.partitions, found)
    except QUEUE_ERRORS as error:
        raise CliError(
            f"The queue failed: {error}; does `contox-ingest up` run, or is CONTOX_REDIS_URL right?"
        ) from None
    finally:
        await queue.aclose()


async def _project_id(database_url: str, name_or_id: str) -> str:
    engine = open_engine(database_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        return (await find_project(SqlProjects(engine), name_or_id)).id
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await engine.dispose()


async def _all(opened: Open) -> list[LetterId]:
    return await dead_letters.all_ids(opened.queue, opened.partitions, project=opened.project)


def _change(change: Change, ids: list[LetterId], data_dir: Path | None) -> list[Outcome]:
    async def run(opened: Open) -> list[Outcome]:
        return await change(opened.queue, ids)

    return _with_queue(run, data_dir)


def _chosen(ids: list[str] | None, all_: bool, project: str | None) -> list[LetterId]:
    """The ids that were given; empty if all are meant. Raises CliError if it is neither or both."""
    if bool(ids) == all_:
        raise CliError(f"Name dead letters by their ids, or give --all; {LIST}")
    if project and not all_:
        raise CliError("--project goes with --all; ids say already which are meant.")
    return list(dict.fromkeys(_parsed(text) for text in ids or []))


def _parsed(text: str, what: str = "") -> LetterId:
    try:
        return parse_id(text)
    except ValueError as error:
        raise CliError(f"{what or repr(text)}: {error}; {LIST}") from None


def _confirm(question: str, count: int) -> None:
    """Ask on the terminal. Raises CliError unless the answer is yes."""
    if not sys.stdin.isatty():
        raise CliError(f"{question} Without a terminal nobody can be asked; give --yes to do it.")
    it = "It" if count == 1 else "They"
    sys.stderr.write(f"{question} {it} cannot be brought back. [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliError("Nothing was purged.")


def _tell_of_others(ids: list[LetterId], outcomes: list[Outcome]) -> None:
    """Raises CliError if any of the letters that were named could not be found or used."""
    if Outcome.NOT_OURS in outcomes:
        count = outcomes.count(Outcome.NOT_OURS)
        raise CliError(f"{count} cannot be replayed: see contox-ingest dead-letters show ID")
    gone = [str(i) for i, o in zip(ids, outcomes, strict=False) if o is Outcome.GONE]
    if gone:
        raise CliError(f"There is no dead letter {', '.join(gone)}, or not any more; {LIST}")


def _line(letter: Letter) -> tuple[str, ...]:
    event = letter.row.event if letter.row else f"({letter.events} unread)"
    since = (rfc_3339(letter.id.ms) or "")[:19]
    return str(letter.id), since, letter.project, event, letter.why


def _print(letter: Letter) -> None:
    """All of a letter, for a person: a line for each field, and what it holds below."""
    shown = {"id": str(letter.id), "since": rfc_3339(letter.id.ms)}
    shown |= {name: text for name, text in dead_letters.public(letter).items() if name != "payload"}
    for name, value in shown.items():
        if value is not None:
            _print_line(f"{name:<11} {value}")
    if letter.row is None:
        for field, content in sorted(letter.fields.items()):
            _print_line(f"{_text(field):<11} {_text(content)}")
        return
    payload = letter.row.payload.encode()
    with suppress(msgspec.DecodeError):  # then it is shown as it is
        payload = msgspec.json.format(payload, indent=2)
    for line in payload.decode().split("\n"):
        _print_line(line)


def _print_line(text: str) -> None:
    stdout.print(text.translate(ON_ONE_LINE), markup=False, emoji=False, soft_wrap=True)


def _text(content: bytes) -> str:
    """Bytes as text, be they text or not."""
    return content.decode(errors="backslashreplace")


def _content(letter: Letter) -> bytes:
    """An event's payload, or the body of an entry that could not be read."""
    if letter.row:
        return letter.row.payload.encode()
    try:
        return to_replay(letter.fields).get(BODY, b"")
    except Refused as error:
        raise CliError(f"Nothing can be made out: {error.why}.") from None


def _number(count: int) -> str:
    return f"{count:,} dead letter" + ("s" if count != 1 else "")


def _none(project: str | None) -> str:
    return f"There is no dead letter of project {project}." if project else "No dead letter."
