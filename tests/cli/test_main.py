"""The command as the shell starts it: its name, its help, and how errors end it."""

import signal

import pytest

from tests.cli.conftest import SCRIPT, Command, Spawn, free_port, until

COMMANDS = [
    "up",
    "gateway",
    "worker",
    "send",
    "events",
    "doctor",
    "settings",
    "ready",
    "project",
    "user",
    "ledger",
]


def test_script(spawn: Spawn) -> None:
    """The installed command runs, and its help names every command, `up` first."""
    result = spawn("--help").wait()
    assert (result.status, result.err) == (0, "")
    assert "Start with: contox-ingest up" in result.out
    listed = [line.split()[1] for line in result.out.splitlines() if line.startswith("│ ")]
    assert [name for name in listed if name in COMMANDS] == COMMANDS
    assert SCRIPT.endswith("/contox-ingest")


@pytest.mark.parametrize("arguments", [(), ("project",)])
async def test_nothing_said(command: Command, arguments: tuple[str, ...]) -> None:
    """Called with nothing to do, it shows what it could do, with status 2."""
    result = await command(*arguments)
    assert result.status == 2
    assert "Usage: contox-ingest" in result.out + result.err
    assert "Commands" in result.out + result.err


@pytest.mark.parametrize("arguments", [("upp",), ("events", "--nothing"), ("project", "drop")])
async def test_unknown(command: Command, arguments: tuple[str, ...]) -> None:
    """A command or option that does not exist ends with status 2 and is named."""
    result = await command(*arguments)
    assert (result.status, result.out) == (2, "")
    assert arguments[-1] in result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("events", "--project", "demo"), "contox-ingest: There is no store in "),
        (("project", "list"), "contox-ingest: CONTOX_ACK must be memory, fsynced or replicated:N"),
        (("gateway",), "contox-ingest: CONTOX_ACK must be memory, fsynced or replicated:N"),
    ],
    ids=["error", "setting", "setting-of-a-role"],
)
def test_errors(spawn: Spawn, arguments: tuple[str, ...], told: str) -> None:
    """An error is one line on standard error and status 1, never a traceback."""
    url = {"CONTOX_DATABASE_URL": "sqlite:///a.db"} if arguments[0] != "events" else {}
    result = spawn(*arguments, CONTOX_ACK="maybe", **url).wait()
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith(told)


def test_ctrl_c(spawn: Spawn) -> None:
    """Ctrl-C ends a command that waits, without a traceback."""
    url = f"http://127.0.0.1:{free_port()}"
    child = spawn("send", "saved", "--url", url, "--project", "p", "--secret", "s")
    until(lambda: "again in" in child.err)
    result = child.stop(signal.SIGINT)
    assert result.status != 0
    assert "Traceback" not in result.err
