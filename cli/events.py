"""`contox-ingest events`: read what is stored."""

import asyncio
import os
from typing import Annotated

import typer

from cli.datadir import store_environ
from cli.errors import CliError
from cli.find_project import find_project
from cli.options import DataDirectory, Json
from cli.output import print_json, print_table, stderr
from core.errors import Unavailable
from core.event import Row, occurred_ms, rfc_3339
from core.ports import EventFilter
from core.settings import read
from core.words import IDENTIFIER
from gateway.api.events import public
from store.accounts import SqlProjects
from store.engine import open_engine
from store.events import SqlEvents
from store.migrate import migrate_at_start

PAGE = 1_000
PAYLOAD_SHOWN = 60

ProjectName = Annotated[str, typer.Option("--project", help="The project's name or id.")]
Session = Annotated[str | None, typer.Option(help="Only events of this session.")]
EventType = Annotated[str | None, typer.Option("--event", help="Only events of this type.")]
After = Annotated[str | None, typer.Option(help="Only events received after this (RFC 3339).")]
Before = Annotated[str | None, typer.Option(help="Only events received before this (RFC 3339).")]
Limit = Annotated[int, typer.Option(min=1, help="Most events to show, newest first.")]
Cursor = Annotated[str | None, typer.Option(help="Continue where an earlier listing ended.")]


def events(
    project: ProjectName,
    session: Session = None,
    event: EventType = None,
    after: After = None,
    before: Before = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """List a project's stored events, newest first."""
    wanted = EventFilter(
        "", session, event, _time_ms("--after", after), _time_ms("--before", before)
    )
    environ = store_environ(data_dir, os.environ)
    rows, more = asyncio.run(_read(environ, project, wanted, limit, cursor))
    if json:
        print_json([public(row) for row in rows])
    else:
        columns = ("received", "event", "id", "payload")
        print_table(columns, map(_line, rows), nothing="No event is stored that fits.")
    if more:
        stderr.print(f"There are more; go on with --cursor {more}", soft_wrap=True)


async def _read(
    environ: dict[str, str], project: str, wanted: EventFilter, limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """(at most `limit` events, the cursor that goes on after them)."""
    engine = open_engine(read(environ).database_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        wanted = wanted._replace(project_id=await _project_id(SqlProjects(engine), project))
        store, rows = SqlEvents(engine), list[Row]()
        while len(rows) < limit:
            size = min(PAGE, limit - len(rows))
            page = await store.page(wanted, limit=size, cursor=cursor)
            rows += page.rows
            cursor = page.cursor
            if cursor is None:
                break
    except ValueError as error:
        raise CliError(f"--cursor: {error}.") from None
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await engine.dispose()
    return rows, cursor


async def _project_id(projects: SqlProjects, name_or_id: str) -> str:
    """The project's id; what looks like one may be of a project that is deleted."""
    if name_or_id.startswith("proj_") and IDENTIFIER(name_or_id):
        return name_or_id
    return (await find_project(projects, name_or_id)).id


def _time_ms(option: str, text: str | None) -> int | None:
    try:
        return occurred_ms(text)
    except ValueError:
        raise CliError(f"{option} must be a time such as 2026-01-15T10:30:00Z.") from None


def _line(row: Row) -> tuple[str, ...]:
    payload = row.payload
    if len(payload) > PAYLOAD_SHOWN:
        payload = payload[: PAYLOAD_SHOWN - 1] + "…"
    return (rfc_3339(row.received_ms) or "")[:19], row.event, row.event_id, payload
