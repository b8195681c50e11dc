"""The command line: every command, and how errors end one.

Only the module of the command that is called is imported: a role that is restarted should not wait
for what it does not use. Without a command all are, for the list of them.
"""

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from cli.errors import CliError
from core.settings import SettingError

if TYPE_CHECKING:
    import typer

# Command: its module, and what there is the command, or the group of them.
COMMANDS = {
    "up": ("cli.up", "up"),
    "gateway": ("cli.roles", "gateway_role"),
    "worker": ("cli.roles", "worker_role"),
    "send": ("cli.send", "send"),
    "project": ("cli.project", "app"),
    "user": ("cli.user", "app"),
    "events": ("cli.events", "events"),
    "doctor": ("cli.doctor", "doctor"),
    "ledger": ("cli.ledger", "app"),
    "dead-letters": ("cli.dead_letters", "app"),
    "loadtest": ("cli.loadtest", "app"),
    "settings": ("cli.roles", "settings"),
    "ready": ("cli.roles", "ready"),
}
ROLES = (["gateway"], ["worker"])


def build(name: str) -> "typer.Typer":
    """The command line with one command, or with all where there is none of this name."""
    import typer  # noqa: PLC0415 - not for a role, see `main`

    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="A self-hosted gateway for signed events. Start with: contox-ingest up",
    )
    app.callback()(lambda: None)  # with one command, too, its name is expected
    for command in [name] if name in COMMANDS else COMMANDS:
        module, attribute = COMMANDS[command]
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    return app


def main() -> None:
    """Entry point of the console script."""
    try:
        if sys.argv[1:] in ROLES:  # without options nothing needs parsing
            getattr(import_module("cli.serve"), sys.argv[1])()
        else:
            build(sys.argv[1] if len(sys.argv) > 1 else "")(prog_name="contox-ingest")
    except (CliError, SettingError) as error:
        sys.stderr.write(f"contox-ingest: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:  # before a role listens to signals itself
        sys.exit(128 + signal.SIGINT)
