"""`contox-ingest doctor`: reach every part, and say promise by promise what holds.

A part that cannot be reached is one finding with the next step; what needs it is listed as not
checked. Nothing is changed, and nothing waits for longer than its time limit.
"""

import asyncio
import os
import shlex
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import typer
from redis.exceptions import AuthenticationError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli import checks_host, checks_ledger, checks_queue, checks_store, checks_stream
from cli.checks_host import Host
from cli.checks_ledger import Ledger
from cli.checks_queue import Queue
from cli.checks_store import Store, check_file, sqlite_file
from cli.datadir import DataDir, default_dir, store_environ
from cli.diagnosis import print_findings
from cli.findings import (
    CHECK_TIMEOUT_S,
    Answer,
    Finding,
    Status,
    broken,
    check_errors,
    examine,
    holds,
    redis_cli,
    skipped,
    why,
)
from cli.options import DataDirectory, Json
from cli.output import print_json
from cli.up import local_url
from core.settings import Settings, mask_url, read
from runtime.queue import open_queue
from store.accounts import SqlProjects
from store.engine import Errors, open_engine, transaction
from store.ledger import SqlLedger

REPLY_TIMEOUT_S = 6  # longer than a queue may take for a tier
QUEUE_PROMISE, STORE_PROMISE = "The queue can be reached", "The store can be reached"


class Aim(NamedTuple):
    """What is examined: the settings, and the data directory that they come from, if any."""

    settings: Settings
    directory: DataDir | None

    @property
    def where(self) -> str:
        """The option that makes other commands mean the same."""
        if self.directory is None or self.directory.path == default_dir(os.environ):
            return ""
        return f" --data-dir {shlex.quote(str(self.directory.path))}"

    @property
    def prepare(self) -> str:
        """The shell command that sets CONTOX_REDIS_URL for those that name it; empty: it is set."""
        if self.directory is None or "redisUrl" not in self.running:
            return ""
        file = shlex.quote(str(self.directory.stack))
        return rf"""export CONTOX_REDIS_URL=$(sed 's/.*"redisUrl": "\([^"]*\)".*/\1/' {file})"""

    @property
    def running(self) -> dict[str, Any]:
        """What `up` says that runs, of the data directory."""
        return self.directory.running() if self.directory else {}


def doctor(json: Json = False, data_dir: DataDirectory = None) -> None:
    """Check queue, store, host and ledger, and say what to change. Status 1 if a promise breaks."""
    aimed = aim(data_dir)
    findings = asyncio.run(diagnose(aimed))
    statuses = [finding.status for finding in findings]
    worst = Status.BROKEN if Status.BROKEN in statuses else Status.HOLDS
    if worst is Status.HOLDS and Status.WARNING in statuses:
        worst = Status.WARNING
    if json:
        print_json({"status": worst, "findings": [finding._asdict() for finding in findings]})
    else:
        print_findings(findings, aimed.prepare)
    if worst is Status.BROKEN:
        raise typer.Exit(1)


def aim(data_dir: Path | None) -> Aim:
    """What to examine, as commands that read the store choose it. Raises CliError, SettingError."""
    environ = store_environ(data_dir, os.environ)
    by_directory = data_dir is not None or not os.environ.get("CONTOX_DATABASE_URL")
    directory = DataDir(data_dir or default_dir(os.environ)) if by_directory else None
    return Aim(read(environ), directory)


async def diagnose(aimed: Aim) -> list[Finding]:
    """Everything there is to find."""
    async with _open_queue(aimed.settings) as queue, _open_store(aimed.settings) as store:
        database = sqlite_file(store.engine)
        of_queue, of_store, of_host = await asyncio.gather(
            _examine_queue(aimed, queue),
            _examine_store(store),
            examine("host", checks_host.CHECKS, _host(aimed, database)),
        )
        reached = Status.BROKEN not in (of_queue[0].status, of_store[0].status)
        of_ledger = (
            await _examine_ledger(aimed, queue, store)
            if reached
            else skipped("ledger", checks_ledger.CHECKS, "it takes both the queue and the store")
        )
        return [*of_queue, *of_store, *of_host, *of_ledger]


def _host(aimed: Aim, database: Path | None) -> Host:
    settings, running = aimed.settings, aimed.running
    urls = [
        running.get(name) or (local_url(settings.host, str(port)) if port else "")
        for name, port in (("url", settings.port), ("workerUrl", settings.worker_port))
    ]
    return Host(settings, database, *urls)


@asynccontextmanager
async def _open_queue(settings: Settings) -> AsyncIterator[Queue]:
    client = open_queue(settings.redis_url, reply_timeout_s=REPLY_TIMEOUT_S)
    try:
        yield Queue(client, settings)
    finally:
        await client.aclose()


@asynccontextmanager
async def _open_store(settings: Settings) -> AsyncIterator[Store]:
    engine = open_engine(settings.database_url)
    try:
        yield Store(engine, settings)
    finally:
        await engine.dispose()


async def _examine_queue(aimed: Aim, queue: Queue) -> list[Finding]:
    checks = [*checks_queue.CHECKS, *checks_stream.CHECKS]
    reach = await _reach_queue(aimed, queue)
    first = Finding("queue", QUEUE_PROMISE, *reach)
    if reach.status is Status.BROKEN:
        return [first, *skipped("queue", checks, "the queue cannot be reached")]
    return [first, *await examine("queue", checks, queue)]


async def _reach_queue(aimed: Aim, queue: Queue) -> Answer:
    """Whether the queue answers; if not, the next step."""
    url = mask_url(aimed.settings.redis_url)
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await queue.client.ping()
    except AuthenticationError as error:
        found, change = f"{url}: {error}", "Set user and password in CONTOX_REDIS_URL."
        return broken(found, change)[0]
    except check_errors() as error:
        found = f"{url}: {why(error)}"
    else:
        return holds(url)[0]
    if aimed.directory and not os.environ.get("CONTOX_REDIS_URL"):
        start = f"contox-ingest up{aimed.where}"
        return broken(found, "The queue runs while `up` does; start it.", start)[0]
    change = "Start the queue's server, or set CONTOX_REDIS_URL to where it is."
    return broken(found, change, redis_cli(aimed.settings, "PING"))[0]


async def _examine_store(store: Store) -> list[Finding]:
    reach = await _reach_store(store)
    first = Finding("store", STORE_PROMISE, *reach)
    if reach.status is Status.BROKEN:
        return [first, *skipped("store", checks_store.CHECKS, "the store cannot be reached")]
    return [first, *await examine("store", checks_store.CHECKS, store)]


async def _reach_store(store: Store) -> Answer:
    """Whether the store answers; if not, the next step. Makes no file."""
    url = mask_url(store.settings.database_url)
    expected: Errors = (*check_errors(), sqlite3.Error)
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            if path := sqlite_file(store.engine):
                await asyncio.to_thread(check_file, path)
            await _connect(store.engine)
    except expected as error:
        found = f"{url}: {why(error)}"
        change = "Start the database, or set CONTOX_DATABASE_URL to where it is."
        if sqlite_file(store.engine):
            change = "Set CONTOX_DATABASE_URL to the file; a gateway or worker makes one."
        return broken(found, change)[0]
    return holds(url)[0]


async def _connect(engine: AsyncEngine) -> None:
    async with transaction(engine):
        pass


async def _examine_ledger(aimed: Aim, queue: Queue, store: Store) -> list[Finding]:
    checks = checks_ledger.CHECKS
    try:
        projects = await SqlProjects(store.engine).list()
    except check_errors() as error:
        return skipped("ledger", checks, why(error))
    names = {project.id: project.name for project in projects}
    partitions = queue.settings.partitions
    ledger = Ledger(queue.client, SqlLedger(store.engine), partitions, names, aimed.where)
    return await examine("ledger", checks, ledger)
