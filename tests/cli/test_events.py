"""`events` over real stores: what is selected, what is shown, and where it is read from."""

import json
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.accounts import open_accounts
from core.event import Row
from store.engine import open_engine
from store.events import SqlEvents
from tests.cli.conftest import Command, Result, Store

DAY_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
PAYLOAD = '{ "z":1.0,"a" :"\\u00e4\\/ü\\u0000","n":123456789012345678901234567890 }'


def row(number: int, **changed: object) -> Row:
    """A row of the project p, received `number` seconds after DAY_MS."""
    identity = f"e{number:04}"
    plain = Row("p", identity, "sess_1", "saved", '{"n":1}', None, DAY_MS + number * 1000)
    return plain._replace(**changed)  # type: ignore[arg-type]


async def write(store: Store, rows: list[Row]) -> None:
    """Store the rows as the project's."""
    engine = open_engine(store.environ["CONTOX_DATABASE_URL"])
    await SqlEvents(engine).write([r._replace(project_id=store.project) for r in rows])
    await engine.dispose()


@pytest.fixture
def events(command: Command, store: Store) -> Command:
    """`contox-ingest events --project demo` on the data directory of `store`."""

    async def run(*arguments: object, **environ: str) -> Result:
        where = ("--project", "demo", "--data-dir", store.data_dir)
        return await command("events", *where, *arguments, **environ)

    return run


def ids(result: Result) -> list[str]:
    """The events' ids, from JSON."""
    return [event["eventId"] for event in result.json]


async def test_json(events: Command, store: Store) -> None:
    """A program reads every member, times in RFC 3339, and the payload byte for byte."""
    await write(store, [row(1, payload=PAYLOAD, occurred_ms=DAY_MS + 1), row(2)])
    result = await events("--json")
    assert (result.status, result.err) == (0, "")
    assert ids(result) == ["e0002", "e0001"]
    assert result.json[1] == {
        "eventId": "e0001",
        "projectId": store.project,
        "sessionId": "sess_1",
        "event": "saved",
        "payload": json.loads(PAYLOAD),
        "timestamp": "2027-01-15T08:00:00.001Z",
        "receivedAt": "2027-01-15T08:00:01.000Z",
        "source": None,
    }
    assert result.json[0]["timestamp"] is None
    assert f'"payload": {PAYLOAD},' in result.out


async def test_table(events: Command, store: Store) -> None:
    """A person reads one line for each event, newest first, long payloads cut."""
    long = '{"text":"' + "a" * 300 + '"}'
    await write(store, [row(1), row(2, payload=long)])
    result = await events()
    head, second, first = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert head.split() == ["received", "event", "id", "payload"]
    assert first.split() == ["2027-01-15T08:00:01", "saved", "e0001", '{"n":1}']
    assert second.split()[3] == long[:59] + "…"


@pytest.mark.parametrize(
    "payload",
    ['{"x":"[bold]a[/bold]"}', '{"x":"[/]"}', '{"x":":smile:"}', '{"x":"[link=http://x]y[/link]"}'],
)
async def test_no_markup(events: Command, store: Store, payload: str) -> None:
    """Nothing in a payload or a type is taken for markup."""
    await write(store, [row(1, payload=payload, event="[red]")])
    assert (await events()).out.splitlines()[1].split() == [
        "2027-01-15T08:00:01",
        "[red]",
        "e0001",
        payload,
    ]


async def test_none(events: Command) -> None:
    """Where nothing fits, a person reads so, and a program reads []."""
    assert await events() == (0, "No event is stored that fits.\n", "")
    assert (await events("--json")).json == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--session", "sess_2"), ["e0004"]),
        (("--event", "seen"), ["e0003"]),
        (("--after", "2027-01-15T08:00:02Z"), ["e0004", "e0003"]),
        (("--before", "2027-01-15T09:00:02+01:00"), ["e0001"]),
        (("--after", "2027-01-15T08:00:01Z", "--before", "2027-01-15T08:00:03Z"), ["e0002"]),
        (("--event", "seen", "--session", "sess_2"), []),
        (("--limit", "1"), ["e0004"]),
    ],
    ids=["session", "event", "after", "before", "between", "both", "limit"],
)
async def test_filters(
    events: Command, store: Store, options: tuple[str, ...], expected: list[str]
) -> None:
    """Each filter leaves what it names; the bounds themselves are left out."""
    await write(store, [row(1), row(2), row(3, event="seen"), row(4, session_id="sess_2")])
    assert ids(await events("--json", *options)) == expected


@pytest.mark.parametrize("by", ["name", "id"])
async def test_one_project(command: Command, store: Store, by: str) -> None:
    """Only the project's own events are shown, whether it is named or its id is given."""
    async with open_accounts(store.environ) as accounts:
        await accounts.create("other")
    await write(store, [row(1)])
    name = "demo" if by == "name" else store.project
    options = ("--data-dir", store.data_dir, "--json", "--project")
    assert ids(await command("events", *options, name)) == ["e0001"]
    assert ids(await command("events", *options, "other")) == []


async def test_beyond_a_page(events: Command, store: Store) -> None:
    """--limit may exceed what is read at once; every event is shown once, in order."""
    await write(store, [row(n) for n in range(2_600)])
    newest = [f"e{n:04}" for n in reversed(range(2_600))]
    result = await events("--json", "--limit", 2_500)
    assert ids(result) == newest[:2_500]
    cursor = result.err.removeprefix("There are more; go on with --cursor ").rstrip("\n")
    rest = await events("--json", "--limit", 2_500, "--cursor", cursor)
    assert (ids(rest), rest.err) == (newest[2_500:], "")
    everything = await events("--json", "--limit", 2_600)
    assert (ids(everything), everything.err) == (newest, "")


async def test_fifty_by_default(events: Command, store: Store) -> None:
    """Without --limit fifty events are shown, and how to go on is told beside them."""
    await write(store, [row(n) for n in range(51)])
    result = await events("--json")
    assert len(result.json) == 50
    told = f"There are more; go on with --cursor {DAY_MS + 1000}-e0001\n"
    assert result.err == told
    assert (await events()).err == told


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--after", "yesterday"), 1, "--after must be a time such as 2026-01-15T10:30:00Z."),
        (("--before", "2026-01-15"), 1, "--before must be a time such as 2026-01-15T10:30:00Z."),
        (("--before", "1800000000"), 1, "--before must be a time such as"),
        (("--cursor", "x"), 1, "--cursor: the cursor is not one that a page has given."),
        (("--project", "none"), 1, "There is no project 'none'; list them with: contox-ingest"),
        (("--limit", "0"), 2, "'--limit'"),
    ],
    ids=["after", "before", "unix-time", "cursor", "project", "limit"],
)
async def test_wrong_option(
    events: Command, options: tuple[str, ...], status: int, told: str
) -> None:
    """A wrong option ends with a sentence that names it, on standard error."""
    result = await events("--json", *options)
    assert (result.status, result.out) == (status, "")
    assert told in result.err


async def test_no_store(command: Command, tmp_path: Path) -> None:
    """Where no store was made, the sentence says how to make or name one."""
    result = await command("events", "--project", "demo")
    assert result == (
        1,
        "",
        f"contox-ingest: There is no store in {tmp_path}/home/contox-ingest; make one with"
        " `contox-ingest up`, or name another with --data-dir or CONTOX_DATABASE_URL.\n",
    )


async def test_database_url(command: Command, store: Store) -> None:
    """Without --data-dir the store is the one that CONTOX_DATABASE_URL names; no key is needed."""
    await write(store, [row(1)])
    url = {"CONTOX_DATABASE_URL": store.environ["CONTOX_DATABASE_URL"]}
    assert ids(await command("events", "--project", "demo", "--json", **url)) == ["e0001"]


async def test_data_dir_counts_more(events: Command, store: Store, tmp_path: Path) -> None:
    """--data-dir counts more than CONTOX_DATABASE_URL."""
    await write(store, [row(1)])
    other = f"sqlite:///{tmp_path}/other.db"
    assert ids(await events("--json", CONTOX_DATABASE_URL=other)) == ["e0001"]
    assert not (tmp_path / "other.db").exists()


@pytest.mark.xdist_group("postgres")
async def test_postgres(command: Command, environ: dict[str, str], postgres: AsyncEngine) -> None:
    """Events in PostgreSQL are read in the same way, payloads byte for byte."""
    url = postgres.url.set(drivername="postgresql").render_as_string(hide_password=False)
    environ["CONTOX_DATABASE_URL"] = url
    created = await command("project", "create", "demo", "--json", **environ)
    await SqlEvents(postgres).write(
        [row(n, project_id=created.json["projectId"], payload=PAYLOAD) for n in range(1_100)]
    )
    wanted = ("--project", "demo", "--after", "2027-01-15T08:00:09Z", "--limit", 2_000, "--json")
    result = await command("events", *wanted, **environ)
    assert (result.status, len(result.json), result.err) == (0, 1_090, "")
    assert result.out.count(f'"payload": {PAYLOAD},') == 1_090


@pytest.mark.parametrize("url", ["sqlite:////nowhere/a.db", "postgresql://nobody@127.0.0.1:1/none"])
async def test_store_away(command: Command, url: str) -> None:
    """A store that cannot be reached is one sentence at once, not a traceback."""
    result = await command("events", "--project", "demo", CONTOX_DATABASE_URL=url)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("contox-ingest: CONTOX_DATABASE_URL cannot be used: ")


async def test_of_a_deleted_project(events: Command, store: Store) -> None:
    """Events that a deleted project has left are listed by its id."""
    await write(store, [row(1)])
    async with open_accounts(store.environ) as accounts:
        await accounts.delete(await accounts.find("demo"), events=False)
    assert (await events("--json")).status == 1
    assert ids(await events("--project", store.project, "--json")) == ["e0001"]
