"""`contox-ingest project …`: make, list, show, disable, delete projects; rotate their secrets."""

import asyncio
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.accounts import Accounts, open_accounts
from cli.datadir import store_environ
from cli.errors import CliError
from cli.options import DataDirectory, Json, NameOrId
from cli.output import print_json, print_table, stderr, stdout
from core.event import rfc_3339
from core.ports import Project
from gateway.api.project_changes import ACTIVE, DISABLED

app = typer.Typer(
    no_args_is_help=True, help="Make, list and show projects; rotate secrets; disable."
)

Name = Annotated[str, typer.Argument(help="The project's name.")]
Grace = Annotated[
    int | None,
    typer.Option(min=0, help="Seconds that the old secret still verifies [CONTOX_SECRET_GRACE_S]."),
]
Owner = Annotated[
    str | None, typer.Option(metavar="USER", help="Whose it is: a user's address or id.")
]
Again = Annotated[
    str | None, typer.Option("--name", help="The project's name once more, to delete it.")
]
WithEvents = Annotated[bool, typer.Option("--delete-events", help="Delete its events, too.")]


@app.command()
def create(
    name: Name, owner: Owner = None, json: Json = False, data_dir: DataDirectory = None
) -> None:
    """Make a project, and print its id and secret."""

    async def run() -> tuple[Project, str]:
        async with open_accounts(store_environ(data_dir, os.environ)) as accounts:
            return await accounts.create(name, owner)

    project, secret = asyncio.run(run())
    if json:
        print_json({**_public(project), "hmacSecret": secret})
        return
    stdout.print(f"Project {project.name} is made.", markup=False)
    stdout.print(f"  id      {project.id}\n  secret  {secret}", markup=False, soft_wrap=True)


@app.command("list")
def list_(json: Json = False, data_dir: DataDirectory = None) -> None:
    """List the projects, oldest first."""

    async def run() -> list[Project]:
        async with open_accounts(store_environ(data_dir, os.environ)) as accounts:
            return await accounts.projects.list()

    projects = asyncio.run(run())
    if json:
        print_json([_public(project) for project in projects])
        return
    rows = [
        (p.id, p.name, p.status, p.owner_id or "", rfc_3339(p.created_ms) or "") for p in projects
    ]
    print_table(
        ("id", "name", "status", "owner", "created"),
        rows,
        nothing="There is no project; make one with: contox-ingest project create NAME",
    )


@app.command()
def show(project: NameOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Show a project with its secret."""

    async def run() -> dict[str, Any]:
        async with open_accounts(store_environ(data_dir, os.environ)) as accounts:
            found = await accounts.find(project)
            content = {**_public(found), "hmacSecret": await accounts.secret(found.id)}
            if previous := await accounts.previous(found.id):
                content["previousExpiresAt"] = rfc_3339(previous.expires_ms)
                content["previousLastUsed"] = rfc_3339(previous.last_used_ms)
            return content

    content = asyncio.run(run())
    if json:
        print_json(content)
        return
    for name, value in content.items():
        stdout.print(f"{name:<17} {value}", markup=False, soft_wrap=True)


@app.command("rotate-secret")
def rotate_secret(
    project: NameOrId,
    grace_seconds: Grace = None,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """Give a project a new secret; the old one verifies until its grace has passed."""
    environ = store_environ(data_dir, os.environ)

    async def run(accounts: Accounts) -> dict[str, Any]:
        found = await accounts.find(project)
        default_s = accounts.settings.secret_grace_s
        grace_s = default_s if grace_seconds is None else grace_seconds
        rotation = await accounts.rotate(found.id, grace_s)
        _tell(accounts, rotation.announced, "the new secret")
        return {
            "projectId": found.id,
            "hmacSecret": rotation.secret,
            "previousExpiresAt": rfc_3339(rotation.old_expires_ms),
        }

    async def with_accounts() -> dict[str, Any]:
        async with open_accounts(environ) as accounts:
            return await run(accounts)

    content = asyncio.run(with_accounts())
    if json:
        print_json(content)
        return
    stdout.print(f"New secret: {content['hmacSecret']}", soft_wrap=True)
    stdout.print(f"The old one verifies until {content['previousExpiresAt']}.")


@app.command()
def disable(project: NameOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Take no more events of a project; its queued and stored ones stay."""
    _set_status(project, DISABLED, json, data_dir)


@app.command()
def enable(project: NameOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Take events of a disabled project again."""
    _set_status(project, ACTIVE, json, data_dir)


@app.command()
def delete(
    project: NameOrId,
    name: Again = None,
    delete_events: WithEvents = False,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """Delete a project; its stored events stay, unless told otherwise."""
    environ = store_environ(data_dir, os.environ)

    async def run() -> dict[str, Any]:
        async with open_accounts(environ) as accounts:
            found = await accounts.find(project)
            if name != found.name:
                told = f"To delete {found.id}, give its name: --name {shlex.quote(found.name)}"
                raise CliError(told)
            done = await accounts.delete(found, events=delete_events)
            _tell(accounts, done.announced, "it")
            if done.left:
                stderr.print(
                    f"{done.left:,} of its events are in the queue still, and will be stored; is a"
                    " worker running?"
                )
            return {"projectId": found.id, "deletedEvents": done.events}

    content = asyncio.run(run())
    if json:
        print_json(content)
        return
    stdout.print(f"Project {content['projectId']} is deleted.", markup=False)
    if delete_events:
        stdout.print(f"So are {content['deletedEvents']:,} events.")


def _set_status(project: str, status: str, json: bool, data_dir: Path | None) -> None:
    environ = store_environ(data_dir, os.environ)

    async def run() -> Project:
        async with open_accounts(environ) as accounts:
            found = await accounts.find(project)
            _tell(accounts, await accounts.set_status(found.id, status), "it")
            return found._replace(status=status)

    changed = asyncio.run(run())
    if json:
        print_json(_public(changed))
        return
    stdout.print(f"Project {changed.name} is {changed.status}.", markup=False)


def _tell(accounts: Accounts, announced: bool, what: str) -> None:
    if not announced:
        ttl_s = 2 * accounts.settings.keyring_ttl_s  # in Redis, and then in memory
        stderr.print(f"The queue is away; gateways learn of {what} within {ttl_s} s.")


def _public(project: Project) -> dict[str, Any]:
    return {
        "projectId": project.id,
        "name": project.name,
        "status": project.status,
        "ownerId": project.owner_id,
        "createdAt": rfc_3339(project.created_ms),
        "updatedAt": rfc_3339(project.updated_ms),
    }
