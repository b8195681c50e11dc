"""Which commands share which options, as their --help says it."""

import pytest

from tests.cli.conftest import Command

COMMANDS = ["events", "send", "settings", "project create", "project list", "project show"]
COMMANDS += ["project rotate-secret"]
READ_THE_STORE = ["events", *COMMANDS[3:]]


@pytest.mark.parametrize("name", COMMANDS)
async def test_json(command: Command, name: str) -> None:
    """Every command that lists or makes something takes --json."""
    result = await command(*name.split(), "--help")
    assert result.status == 0
    assert "--json" in result.out


@pytest.mark.parametrize("name", READ_THE_STORE)
async def test_data_dir(command: Command, name: str) -> None:
    """Every command that reads the store can be told a data directory of `up`."""
    assert "--data-dir" in (await command(*name.split(), "--help")).out


@pytest.mark.parametrize("name", ["project show", "project rotate-secret"])
async def test_name_or_id(command: Command, name: str) -> None:
    """A command on one project takes its name or id as an argument, and needs it."""
    assert "The project's name or id." in (await command(*name.split(), "--help")).out
    missing = await command(*name.split())
    assert missing.status == 2
    assert "PROJECT" in missing.err
