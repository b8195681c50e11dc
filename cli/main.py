"""The command line: every command, and how errors end one."""

import sys

import typer

from cli import doctor, events, ledger, loadtest, project, roles, send, up
from cli.errors import CliError
from core.settings import SettingError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A self-hosted gateway for signed events. Start with: contox-ingest up",
)
app.command()(up.up)
app.command("gateway")(roles.gateway_role)
app.command("worker")(roles.worker_role)
app.command()(send.send)
app.add_typer(project.app, name="project")
app.command()(events.events)
app.command()(doctor.doctor)
app.add_typer(ledger.app, name="ledger")
app.add_typer(loadtest.app, name="loadtest")
app.command()(roles.settings)
app.command()(roles.ready)


def main() -> None:
    """Entry point of the console script."""
    try:
        app(prog_name="contox-ingest")
    except (CliError, SettingError) as error:
        sys.stderr.write(f"contox-ingest: {error}\n")
        sys.exit(1)
