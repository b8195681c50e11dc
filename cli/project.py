"""`contox-ingest project …`: make, list, show projects; rotate their secrets."""

import asyncio
import os
from typing import Annotated, Any

import typer

from cli.accounts import Accounts, open_accounts
from cli.datadir import store_environ
from cli.options import DataDirectory, Json, NameOrId
from cli.output import print_json, print_table, stderr, stdout
from core.event import rfc_3339
from core.ports import Project

app = typer.Typer(no_args_is_help=True, help="Make, list and show projects; rotate their secrets.")

Name = Annotated[str, typer.Argument(help="The project's name.")]
Grace = Annotated[
    int | None,
    typer.Option(min=0, help="Seconds that the old secret still verifies [CONTOX_SECRET_GRACE_S]."),
]


@app.command()
def create(name: Name, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Make a project, and print its id and secret."""

    async def run() -> tuple[Project, str]:
        async with open_accounts(store_environ(data_dir, os.environ)) as accounts:
            return await accounts.create(name)

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
    rows = [(p.id, p.name, p.status, rfc_3339(p.created_ms) or "") for p in projects]
    print_table(
        ("id", "name", "status", "created"),
        rows,
        nothing="There is no project; make one with: contox-ingest project create NAME",
    )


@app.command()
def show(project: NameOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Show a project with its secret."""

    async def run() -> dict[str, Any]:
        async with open_accounts(store_environ(data_dir, os.environ)) as accounts:
            found = await accounts.find(project)
            return {**_public(found), "hmacSecret": await accounts.secret(found.id)}

    content = asyncio.run(run())
    if json:
        print_json(content)
        return
    for name, value in content.items():
        stdout.print(f"{name:<11} {value}", markup=False, soft_wrap=True)


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
        if not rotation.announced:
            ttl_s = 2 * accounts.settings.keyring_ttl_s  # in Redis, and then in memory
            stderr.print(f"The queue is away; gateways learn of the new secret within {ttl_s} s.")
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


def _public(project: Project) -> dict[str, Any]:
    return {
        "projectId": project.id,
        "name": project.name,
        "status": project.status,
        "createdAt": rfc_3339(project.created_ms),
        "updatedAt": rfc_3339(project.updated_ms),
    }
