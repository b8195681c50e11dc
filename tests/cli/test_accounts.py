"""Projects on a real store and queue: their names, their secrets, and who is told of a change."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from cli.accounts import Accounts, Deletion, open_accounts
from cli.errors import CliError
from core.event import Row
from core.ports import EventFilter
from core.settings import SettingError
from core.users import User
from gateway.key_cache import CHANNEL, KeyCache
from tests.cli.conftest import Store, free_port
from tests.cli.flow import append, settle


@pytest.fixture
async def accounts(environ: dict[str, str]) -> AsyncIterator[Accounts]:
    """An empty store of projects."""
    async with open_accounts(environ) as accounts:
        yield accounts


@pytest.mark.parametrize("name", ["a", "ü 😀", "x" * 100, "[bold]"])
async def test_create(accounts: Accounts, name: str) -> None:
    """A new project is active, found by name and by id, and its secret opens again."""
    before_ms = int(time.time() * 1000)
    project, secret = await accounts.create(name)
    assert (project.name, project.status) == (name, "active")
    assert before_ms <= project.created_ms == project.updated_ms <= int(time.time() * 1000)
    assert await accounts.find(name) == await accounts.find(project.id) == project
    assert await accounts.secret(project.id) == secret


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "tab\t", "\x1b[31m"])
async def test_unusable_name(accounts: Accounts, name: str) -> None:
    """A name that cannot be shown, or is too long, is refused and nothing is made."""
    with pytest.raises(CliError, match=r"^A project's name is 1 to 100 printable characters\.$"):
        await accounts.create(name)
    assert await accounts.projects.list() == []


async def test_taken_name(accounts: Accounts) -> None:
    """A name that is taken is refused, and the first project keeps its secret."""
    project, secret = await accounts.create("one")
    with pytest.raises(CliError, match=r"^There is a project 'one' already; choose another name"):
        await accounts.create("one")
    assert await accounts.projects.list() == [project]
    assert await accounts.secret(project.id) == secret


async def test_unknown(accounts: Accounts) -> None:
    """A project that does not exist is a sentence that says how to list those that do."""
    with pytest.raises(CliError) as error:
        await accounts.find("none")
    sentence = "There is no project 'none'; list them with: contox-ingest project list"
    assert str(error.value) == sentence


async def test_rotate(accounts: Accounts) -> None:
    """A rotation's secret is the current one; the old one is kept until its grace has passed."""
    project, old = await accounts.create("one")
    before_ms = int(time.time() * 1000)
    rotation = await accounts.rotate(project.id, 60)
    keys = await accounts.projects.keys(project.id)
    assert keys is not None
    opened = [accounts.changes.sealer.open(s.sealed, project_id=project.id) for s in keys.secrets]
    assert await accounts.secret(project.id) == rotation.secret != old
    assert opened == [rotation.secret, old]
    assert keys.secrets[1].expires_ms == rotation.old_expires_ms
    assert 60_000 <= rotation.old_expires_ms - before_ms < 90_000


async def test_rotation_is_announced(accounts: Accounts, queue: Redis) -> None:
    """Gateways that listen are told of a rotation, and find the new keys in the cache."""
    project, _ = await accounts.create("one")
    async with queue.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        await channel.get_message(timeout=5)  # the subscription stands
        assert (await accounts.rotate(project.id, 60)).announced
        message = await channel.get_message(timeout=5)
    assert message is not None
    assert message["data"] == f"1 {project.id}".encode()
    keys = await accounts.projects.keys(project.id)
    assert await KeyCache(queue, ttl_s=30).get(project.id) == (True, keys)


async def test_rotation_without_queue(environ: dict[str, str]) -> None:
    """A rotation counts although the queue is away; it says that nobody was told."""
    environ["CONTOX_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
    async with open_accounts(environ) as accounts:
        project, _ = await accounts.create("one")
        rotation = await accounts.rotate(project.id, 0)
        assert not rotation.announced
        assert await accounts.secret(project.id) == rotation.secret


async def test_kept(store: Store) -> None:
    """What was made is there when the store is opened again."""
    async with open_accounts(store.environ) as accounts:
        assert [p.id for p in await accounts.projects.list()] == [store.project]
        assert await accounts.secret(store.project) == store.secret


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "CONTOX_MASTER_KEY is not set; it seals the projects' secrets."),
        (
            base64.b64encode(b"short").decode(),
            "CONTOX_MASTER_KEY must be 32 bytes in base64: openssl rand -base64 32.",
        ),
    ],
    ids=["missing", "short"],
)
async def test_master_key(environ: dict[str, str], value: str, sentence: str) -> None:
    """Without a usable master key no store of projects is opened."""
    with pytest.raises(SettingError) as error:
        async with open_accounts({**environ, "CONTOX_MASTER_KEY": value}):
            pass
    assert str(error.value) == sentence


async def test_nobodys(accounts: Accounts) -> None:
    """A project without an owner is found by its name, whoever else has one of that name."""
    assert await accounts.nobodys("demo") is None
    now_ms = int(time.time() * 1000)
    user = User("user_1", "ada@example.com", "$", "member", "active", now_ms, now_ms)
    await accounts.users.create(user)
    hers, _ = await accounts.create("demo", "ada@example.com")
    assert hers.owner_id == "user_1"
    assert await accounts.nobodys("demo") is None
    ours, _ = await accounts.create("demo")
    assert await accounts.nobodys("demo") == ours


async def store_soon(accounts: Accounts, queue: Redis, project: str, entry: bytes) -> None:
    """What a worker does with an entry of three events, a while later."""
    await asyncio.sleep(0.7)
    rows = [Row(project, f"evt_{n}", "sess_1", "a", "{}", None, n) for n in range(3)]
    await accounts.events.write(rows)
    await settle(queue, entry, project, 3)


async def test_delete_waits_for_the_queue(accounts: Accounts, queue: Redis) -> None:
    """Events that are in the queue at a deletion are waited for, and go, too."""
    project, _ = await accounts.create("one")
    entry = await append(queue, project.id, 3)
    storing = asyncio.create_task(store_soon(accounts, queue, project.id, entry))
    assert await accounts.delete(project, events=True) == Deletion(True, 3, 0)
    await storing
    assert not (await accounts.events.page(EventFilter(project.id), limit=1)).rows
    assert await accounts.projects.list() == []


async def test_delete_without_queue(environ: dict[str, str]) -> None:
    """Without a queue a project goes with what is stored; it says that nobody was told."""
    environ["CONTOX_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
    async with open_accounts(environ) as accounts:
        project, _ = await accounts.create("one")
        await accounts.events.write([Row(project.id, "evt_1", "sess_1", "a", "{}", None, 1)])
        assert await accounts.delete(project, events=True) == Deletion(False, 1, 0)
