"""The project commands on a real store: what they print for people and for programs."""

import base64
from datetime import datetime, timedelta

import pytest
from redis.asyncio import Redis

from cli.accounts import open_accounts
from core.event import Row
from core.ports import EventFilter
from gateway.api import deletions
from gateway.key_cache import CHANNEL
from tests.cli.conftest import Command, Result, Store, free_port
from tests.cli.flow import append

MEMBERS = ["projectId", "name", "status", "ownerId", "createdAt", "updatedAt"]


@pytest.fixture
def project(command: Command, store: Store) -> Command:
    """`contox-ingest project` on the data directory of `store`, with its queue."""

    async def run(*arguments: object, **environ: str) -> Result:
        redis = {"CONTOX_REDIS_URL": store.environ["CONTOX_REDIS_URL"]}
        options = ("--data-dir", store.data_dir)
        return await command("project", *arguments, *options, **{**redis, **environ})

    return run


async def secret_of(store: Store, name: str) -> str:
    """The current secret, as the store has it."""
    async with open_accounts(store.environ) as accounts:
        return await accounts.secret((await accounts.find(name)).id)


async def test_create(project: Command, store: Store) -> None:
    """A person reads the new project's id and secret, its name as it is."""
    result = await project("create", "[red]two[/red]")
    first, second, third = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert first == "Project [red]two[/red] is made."
    assert second.split() == [
        "id",
        (await project("show", "[red]two[/red]", "--json")).json["projectId"],
    ]
    assert third.split() == ["secret", await secret_of(store, "[red]two[/red]")]


async def test_create_as_json(project: Command, store: Store) -> None:
    """A program reads projectId, hmacSecret and what else is known of the project."""
    result = await project("create", "two", "--json")
    assert (result.status, result.err) == (0, "")
    assert list(result.json) == [*MEMBERS, "hmacSecret"]
    assert (result.json["name"], result.json["status"]) == ("two", "active")
    assert result.json["hmacSecret"] == await secret_of(store, "two")
    assert result.json["createdAt"] == result.json["updatedAt"]
    assert datetime.fromisoformat(result.json["createdAt"]).tzinfo is not None


@pytest.mark.parametrize("name", ["demo", "two\nlines", ""])
async def test_cannot_be_made(project: Command, name: str) -> None:
    """A name that is taken or not usable is one sentence, and nothing is made."""
    result = await project("create", name)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(("contox-ingest: There is a project 'demo'", "contox-ingest: A "))
    assert len((await project("list", "--json")).json) == 1


async def test_list(project: Command, store: Store) -> None:
    """A person reads a table of the projects, oldest first, and no secret."""
    two = (await project("create", "two", "--json")).json
    result = await project("list")
    head, *rows = [line.split() for line in result.out.splitlines()]
    assert head == ["id", "name", "status", "owner", "created"]
    assert [row[:3] for row in rows] == [
        [store.project, "demo", "active"],
        [two["projectId"], "two", "active"],
    ]
    assert "whsec_" not in result.out


async def test_list_as_json(project: Command, store: Store) -> None:
    """A program reads the same, again without secrets."""
    (listed,) = (await project("list", "--json")).json
    assert list(listed) == MEMBERS
    assert (listed["projectId"], listed["name"]) == (store.project, "demo")


async def test_empty_list(command: Command, environ: dict[str, str]) -> None:
    """Where there is no project, the list says how to make one; a program reads []."""
    result = await command("project", "list", **environ)
    told = "There is no project; make one with: contox-ingest project create NAME\n"
    assert result == (0, told, "")
    assert (await command("project", "list", "--json", **environ)).json == []


@pytest.mark.parametrize("by", ["name", "id"])
async def test_show(project: Command, store: Store, by: str) -> None:
    """A project is shown by its name or id, with its secret."""
    argument = "demo" if by == "name" else store.project
    content = (await project("show", argument, "--json")).json
    assert list(content) == [*MEMBERS, "hmacSecret"]
    assert (content["projectId"], content["hmacSecret"]) == (store.project, store.secret)
    shown = (await project("show", argument)).out.splitlines()
    expected = [[name, str(value)] for name, value in content.items()]
    assert [line.split() for line in shown] == expected


@pytest.mark.parametrize("name", ["show", "rotate-secret"])
async def test_unknown_project(project: Command, name: str) -> None:
    """A project that does not exist is one sentence."""
    result = await project(name, "[none]")
    told = (
        "contox-ingest: There is no project '[none]'; list them with: contox-ingest project list\n"
    )
    assert result == (1, "", told)


async def test_rotate(project: Command, store: Store, queue: Redis) -> None:
    """A person reads the new secret and until when the old one verifies; gateways are told."""
    async with queue.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        await channel.get_message(timeout=5)
        result = await project("rotate-secret", "demo")
        message = await channel.get_message(timeout=5)
    first, second = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert first == f"New secret: {await secret_of(store, 'demo')}"
    assert second.startswith("The old one verifies until 20")
    assert message is not None
    assert message["data"] == f"1 {store.project}".encode()


@pytest.mark.parametrize(
    ("options", "variables", "grace_s"),
    [
        ((), {}, 86_400),
        ((), {"CONTOX_SECRET_GRACE_S": "60"}, 60),
        (("--grace-seconds", 0), {"CONTOX_SECRET_GRACE_S": "60"}, 0),
        (("--grace-seconds", 3600), {}, 3600),
    ],
    ids=["default", "setting", "none", "option"],
)
async def test_grace(
    project: Command,
    store: Store,
    options: tuple[object, ...],
    variables: dict[str, str],
    grace_s: int,
) -> None:
    """The grace is the option's, else the setting's; a program reads when it ends."""
    result = await project("rotate-secret", "demo", "--json", *options, **variables)
    assert (result.status, list(result.json)) == (
        0,
        ["projectId", "hmacSecret", "previousExpiresAt"],
    )
    assert result.json["projectId"] == store.project
    assert result.json["hmacSecret"] == await secret_of(store, "demo") != store.secret
    shown = (await project("show", "demo", "--json")).json
    rotated, expires = shown["updatedAt"], result.json["previousExpiresAt"]
    grace = datetime.fromisoformat(expires) - datetime.fromisoformat(rotated)
    assert grace == timedelta(seconds=grace_s)


async def test_rotate_without_queue(project: Command, store: Store) -> None:
    """With the queue away the secret is new all the same, and a sentence says when it counts."""
    away = f"redis://127.0.0.1:{free_port()}"
    result = await project("rotate-secret", "demo", "--json", CONTOX_REDIS_URL=away)
    told = "The queue is away; gateways learn of the new secret within 60 s.\n"
    assert (result.status, result.err) == (0, told)
    assert result.json["hmacSecret"] == await secret_of(store, "demo")


async def test_no_store(command: Command) -> None:
    """Where no store was made and none is named, every command says what to do."""
    for arguments in (["create", "a"], ["list"], ["show", "a"], ["rotate-secret", "a"]):
        result = await command("project", *arguments)
        assert (result.status, result.out) == (1, "")
        assert "make one with `contox-ingest up`" in result.err


async def test_no_master_key(command: Command, environ: dict[str, str]) -> None:
    """A store that is named by its URL needs the master key beside it."""
    environ.pop("CONTOX_MASTER_KEY")
    result = await command("project", "create", "a", **environ)
    told = "contox-ingest: CONTOX_MASTER_KEY is not set; it seals the projects' secrets.\n"
    assert result == (1, "", told)


@pytest.mark.parametrize("arguments", [("create", "two"), ("list",), ("show", "demo")])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CONTOX_DATABASE_URL", "sqlite:////nowhere/a.db", "cannot be used: unable to open"),
        (
            "CONTOX_MASTER_KEY",
            base64.b64encode(bytes(range(32))).decode(),
            "is not the key that the store's secrets are sealed with.",
        ),
    ],
    ids=["away", "other-key"],
)
async def test_wrong_store(
    command: Command, store: Store, arguments: tuple[str, ...], name: str, value: str, told: str
) -> None:
    """A store that is away, or sealed with another key, is one sentence, and nothing is made."""
    result = await command("project", *arguments, **{**store.environ, name: value})
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(f"contox-ingest: {name} {told}")
    assert len((await command("project", "list", "--json", **store.environ)).json) == 1


async def test_rotation_is_shown(project: Command, store: Store) -> None:
    """While an old secret verifies still, a project is shown with its end and its last use."""
    rotated = (await project("rotate-secret", "demo", "--json")).json
    shown = (await project("show", "demo", "--json")).json
    assert shown["hmacSecret"] == rotated["hmacSecret"] != store.secret
    assert shown["previousExpiresAt"] == rotated["previousExpiresAt"]
    assert shown["previousLastUsed"] is None


async def test_disable(project: Command, store: Store, queue: Redis) -> None:
    """A disabled project is shown as such and gateways are told; it can be enabled again."""
    async with queue.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        await channel.get_message(timeout=5)  # the subscription stands
        result = await project("disable", "demo")
        assert result == (0, "Project demo is disabled.\n", "")
        message = await channel.get_message(timeout=5)
        assert message is not None
        assert message["data"] == f"1 {store.project}".encode()
    assert (await project("show", "demo", "--json")).json["status"] == "disabled"
    assert (await project("enable", "demo", "--json")).json["status"] == "active"


async def test_delete_without_worker(
    project: Command, store: Store, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that the queue holds still when the time for them is over are told of."""
    monkeypatch.setattr(deletions, "DRAIN_S", 0.1)
    await append(queue, store.project, 3)
    result = await project("delete", "demo", "--name", "demo", "--delete-events")
    told = "3 of its events are in the queue still, and will be stored; is a worker running?\n"
    assert (result.status, result.err) == (0, told)
    assert (await project("list", "--json")).json == []


async def test_owner(project: Command, command: Command, store: Store) -> None:
    """A project can be a user's; two users may call theirs the same, and then the id counts."""
    user = ("user", "create", "ada@example.com", "--json", "--data-dir", store.data_dir)
    redis = {"CONTOX_REDIS_URL": store.environ["CONTOX_REDIS_URL"]}
    ada = (await command(*user, **redis)).json["userId"]
    made = (await project("create", "demo", "--owner", "ada@example.com", "--json")).json
    assert made["ownerId"] == ada
    result = await project("show", "demo")
    assert (result.status, result.out) == (1, "")
    assert result.err == "contox-ingest: Several projects are called 'demo'; name one by its id.\n"
    assert (await project("show", made["projectId"], "--json")).json["ownerId"] == ada
    unknown = await project("create", "x", "--owner", "nobody@example.com")
    assert (unknown.status, unknown.err.split(";")[0]) == (
        1,
        "contox-ingest: There is no user 'nobody@example.com'",
    )


@pytest.mark.parametrize("options", [(), ("--name", "dem"), ("--name", "")])
async def test_delete_asks_for_the_name(
    project: Command, store: Store, options: tuple[str, ...]
) -> None:
    """Without the right name nothing is deleted, and the sentence says what is missing."""
    result = await project("delete", "demo", *options)
    told = f"contox-ingest: To delete {store.project}, give its name: --name demo\n"
    assert result == (1, "", told)
    assert len((await project("list", "--json")).json) == 1


@pytest.mark.parametrize("events", [False, True])
async def test_delete(project: Command, store: Store, events: bool) -> None:
    """A project is deleted, and its events only where that is asked for."""
    async with open_accounts(store.environ) as accounts:
        rows = [Row(store.project, f"evt_{n}", "sess_1", "a", "{}", None, n) for n in range(2_500)]
        await accounts.events.write(rows)
    options = ("--delete-events",) if events else ()
    result = await project("delete", store.project, "--name", "demo", *options)
    told = f"Project {store.project} is deleted.\n" + "So are 2,500 events.\n" * events
    assert result == (0, told, "")
    assert (await project("list", "--json")).json == []
    async with open_accounts(store.environ) as accounts:
        found = await accounts.events.page(EventFilter(store.project), limit=5_000)
        assert len(found.rows) == (0 if events else 2_500)
        assert (await accounts.sessions.get("sess_1") is None) == events
