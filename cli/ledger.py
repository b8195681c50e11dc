"""`contox-ingest ledger …`: what has become of every event; and writing off what is lost."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from redis.asyncio import Redis
from typer.core import TyperGroup

from cli.bookkeeping import Accounts, read_accounts
from cli.datadir import store_environ
from cli.errors import CliError
from cli.findings import some
from cli.options import DataDirectory, Json
from cli.output import print_json, print_table, stderr, stdout
from core.errors import Unavailable
from core.ledger import Account
from core.ports import Project
from core.settings import mask_url, read
from runtime.ledger import write_off as write_off_partition
from runtime.queue import QUEUE_ERRORS, open_queue
from store.accounts import SqlProjects
from store.engine import open_engine
from store.ledger import SqlLedger
from store.migrate import migrate_at_start

COLUMNS = (
    "accepted",
    "stored",
    "duplicates",
    "dead_lettered",
    "purged",
    "written_off",
    "in_flight",
    "lost",
)
HEADS = ("project", *(name.replace("_", " ") for name in COLUMNS))


class ShowByDefault(TyperGroup):
    """A group whose first word, where it is no command, is `show`'s argument."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See TyperGroup."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ShowByDefault, help="Show what has become of every event, by project.")
OneProject = Annotated[
    str | None, typer.Argument(metavar="PROJECT", help="The project's name or id; else all.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class Books(NamedTuple):
    """An open ledger, read."""

    queue: Redis
    projects: list[Project]
    accounts: Accounts

    def name(self, project: str) -> str:
        """What people call a project."""
        return next((p.name for p in self.projects if p.id == project), project)


@app.command()
def show(project: OneProject = None, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Show the accounts of all projects, or of one. The default, if no command is given."""

    async def run() -> tuple[Books, dict[str, Account]]:
        async with open_books(store_environ(data_dir, os.environ)) as books:
            return books, _chosen(books, project)

    books, accounts = asyncio.run(run())
    if json:
        print_json([_public(books, identity, account) for identity, account in accounts.items()])
    else:
        rows = [_row(books, identity, account) for identity, account in accounts.items()]
        nothing = "The ledger is empty: nothing has been accepted yet."
        print_table(HEADS, rows, nothing=nothing)
    for sentence in _remarks(books):
        stderr.print(sentence, soft_wrap=True, markup=False)


@app.command("write-off")
def write_off(yes: Yes = False, data_dir: DataDirectory = None) -> None:
    """Accept what is lost, after showing it: the ledger is in balance, and the alarm ends."""
    asyncio.run(_write_off(yes, data_dir))


async def _write_off(yes: bool, data_dir: Path | None) -> None:
    async with open_books(store_environ(data_dir, os.environ)) as books:
        accounts = books.accounts
        if accounts.balanced:
            stdout.print("The ledger is in balance: there is nothing to write off.")
            return
        if unsure := _unsure(books):
            raise CliError(f"{unsure} Nothing was written off.")
        rows = [_row(books, p, accounts.projects[p]) for p in accounts.lost]
        if rows:
            print_table(HEADS, rows, nothing="")
        what = _what(books)
        if not yes:
            await asyncio.to_thread(_confirm, f"Write off {what}? [y/N] ")
        for page in accounts.pages:
            if not page.balanced:
                lost = accounts.lost_in(page.partition)
                missing = page.book.missing
                if not await write_off_partition(books.queue, page.partition, lost, missing):
                    raise CliError(
                        f"Partition {page.partition} has changed meanwhile; see it again with:"
                        " contox-ingest ledger"
                    )
        stdout.print(f"Written off: {what}.", markup=False)


def _what(books: Books) -> str:
    """What is written off, in words."""
    parts = [
        f"{some(lost, 'event')} of project {books.name(project)} as lost"
        if lost > 0
        else f"{some(-lost, 'event')} of project {books.name(project)} too many"
        for project, lost in books.accounts.lost.items()
    ]
    missing = sum(page.book.missing for page in books.accounts.pages)
    return " and ".join(parts) or f"{some(missing, 'entry', 'entries')} whose events are all stored"


def _confirm(question: str) -> None:
    """Raises CliError where nobody can answer, or the answer is no."""
    if not sys.stdin.isatty():
        raise CliError("Writing off asks first, and this is no terminal; say --yes.")
    sys.stdout.write(question)
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CliError("Nothing was written off.")


@asynccontextmanager
async def open_books(environ: Mapping[str, str]) -> AsyncIterator[Books]:
    """The ledger that the environment names, read once. Raises CliError, SettingError."""
    settings = read(environ)
    engine, queue = open_engine(settings.database_url), open_queue(settings.redis_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        projects = await SqlProjects(engine).list()
        accounts = await read_accounts(queue, SqlLedger(engine), settings.partitions)
        yield Books(queue, projects, accounts)
    except QUEUE_ERRORS as error:
        url, why = mask_url(settings.redis_url), str(error).rstrip(".")
        raise CliError(
            f"The queue {url} cannot be used: {why}; see: contox-ingest doctor"
        ) from None
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await queue.aclose()
        await engine.dispose()


def _chosen(books: Books, wanted: str | None) -> dict[str, Account]:
    """The accounts to show: those of all projects that have one, or of one project."""
    accounts = books.accounts.projects
    if wanted is None:
        return accounts
    known = {p.id for p in books.projects} | accounts.keys()
    by_name = {p.name: p.id for p in books.projects}
    identity = wanted if wanted in known else by_name.get(wanted)
    if identity is None:
        raise CliError(
            f"There is no project {wanted!r}; list them with: contox-ingest project list"
        )
    return {identity: accounts.get(identity, Account(*[0] * len(Account._fields)))}


def _row(books: Books, project: str, account: Account) -> tuple[str, ...]:
    counts = [f"{getattr(account, name):,}" for name in COLUMNS]
    if project in books.accounts.moving or books.accounts.too_long:
        counts[-1] = counts[-1] if account.lost else "?"
    return books.name(project), *counts


def _public(books: Books, project: str, account: Account) -> dict[str, object]:
    sure = project not in books.accounts.moving and not books.accounts.too_long
    return {
        "projectId": project,
        "name": books.name(project),
        "accepted": account.accepted,
        "stored": account.stored,
        "duplicates": account.duplicates,
        "deadLettered": account.dead_lettered,
        "purged": account.purged,
        "writtenOff": account.written_off,
        "inFlight": account.in_flight,
        "lost": account.lost if sure else None,
    }


def _unsure(books: Books) -> str:
    """Why a loss cannot be told now; empty if it can."""
    accounts = books.accounts
    if accounts.too_long:
        return "The stream is too long to be counted; let the workers catch up first."
    if accounts.moving:
        names = ", ".join(books.name(project) for project in accounts.moving)
        return f"Events of {names} flow too fast to be counted; try again in a quieter moment."
    return ""


def _remarks(books: Books) -> list[str]:
    """Sentences beside the table."""
    if unsure := _unsure(books):
        return [f"The ledger is out of balance. {unsure}"]
    if books.accounts.balanced:
        return []
    return ["The ledger is out of balance; accept it with: contox-ingest ledger write-off"]
