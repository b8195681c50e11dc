"""`contox-ingest user …`: make and list users, set passwords, disable.

A password is never an argument: other users of the machine could read it. It is made and printed
once, or read from standard input.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from cli.datadir import store_environ
from cli.options import DataDirectory, Json
from cli.output import print_json, print_table, stderr, stdout
from cli.user_accounts import UserAccounts, open_users
from core.event import rfc_3339
from core.users import ACTIVE, DISABLED, User
from gateway.api.account_cache import CACHED_S
from gateway.api.passwords import new_password

app = typer.Typer(no_args_is_help=True, help="Make and list users; set passwords; disable.")

Value = TypeVar("Value")
Email = Annotated[str, typer.Argument(help="The user's email address.")]
EmailOrId = Annotated[str, typer.Argument(metavar="USER", help="The user's address or id.")]
Role = Annotated[
    Literal["admin", "member"], typer.Option(help="An admin sees everything; a member, their own.")
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password instead of making one.")
]
KeepKeys = Annotated[bool, typer.Option("--keep-keys", help="Leave the user's API keys alone.")]


@app.command()
def create(
    email: Email,
    role: Role = "member",
    password_stdin: FromStdin = False,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """Make a user, and print the password once."""
    password = _password(password_stdin)
    user = _run(data_dir, lambda users: users.create(email, password, role))
    _print(_public(user), "" if password_stdin else password, json)


@app.command("list")
def list_(json: Json = False, data_dir: DataDirectory = None) -> None:
    """List the users, oldest first."""
    users = _run(data_dir, lambda accounts: accounts.users.list())
    if json:
        print_json([_public(user) for user in users])
        return
    print_table(
        ("id", "email", "role", "status", "created"),
        [(u.id, u.email, u.role, u.status, rfc_3339(u.created_ms) or "") for u in users],
        nothing="There is no user; make one with: contox-ingest user create EMAIL",
    )


@app.command("set-password")
def set_password(
    user: EmailOrId,
    password_stdin: FromStdin = False,
    keep_keys: KeepKeys = False,
    json: Json = False,
    data_dir: DataDirectory = None,
) -> None:
    """Give a user another password; ends all sign-ins, and deletes the API keys."""
    password = _password(password_stdin)

    async def run(users: UserAccounts) -> User:
        found = await users.find(user)
        _tell(await users.set_password(found, password, keep_keys=keep_keys))
        return found

    found = _run(data_dir, run)
    _print(_public(found), "" if password_stdin else password, json)


@app.command()
def disable(user: EmailOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Let a user in no more, by password, cookie or key."""
    _print(_public(_set_status(user, DISABLED, data_dir)), "", json)


@app.command()
def enable(user: EmailOrId, json: Json = False, data_dir: DataDirectory = None) -> None:
    """Let a disabled user in again; their keys work again, too."""
    _print(_public(_set_status(user, ACTIVE, data_dir)), "", json)


def _set_status(user: str, status: str, data_dir: Path | None) -> User:
    async def run(users: UserAccounts) -> User:
        found = await users.find(user)
        _tell(await users.set_status(found, status))
        return found._replace(status=status)

    return _run(data_dir, run)


def _run(data_dir: Path | None, action: Callable[[UserAccounts], Awaitable[Value]]) -> Value:
    async def run() -> Value:
        async with open_users(store_environ(data_dir, os.environ)) as accounts:
            return await action(accounts)

    return asyncio.run(run())


def _password(from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else new_password()


def _tell(announced: bool) -> None:
    if not announced:
        stderr.print(f"The queue is away; once it is back, gateways learn of it in {CACHED_S} s.")


def _public(user: User) -> dict[str, Any]:
    return {
        "userId": user.id,
        "email": user.email,
        "role": user.role,
        "status": user.status,
        "createdAt": rfc_3339(user.created_ms),
    }


def _print(content: dict[str, Any], password: str, json: bool) -> None:
    shown = content | ({"password": password} if password else {})
    if json:
        print_json(shown)
        return
    for name, value in shown.items():
        stdout.print(f"{name:<9} {value}", markup=False, soft_wrap=True)
    if password:
        stdout.print("The password is shown this once.")
