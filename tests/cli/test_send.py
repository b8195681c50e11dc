"""`send` against a real gateway and queue: what arrives there, and what the person is told."""

from uuid import UUID

import pytest

from tests.cli.conftest import Command, Target

PAYLOAD = '{ "z" : 1.0, "a":"\\u00e4\\/ü",\t"n":123456789012345678901234567890}'


@pytest.fixture
def send(command: Command, target: Target) -> Command:
    """`contox-ingest send` with the gateway's address and credentials in its environment."""

    async def run(*arguments: object, stdin: bytes = b"", **environ: str):
        return await command("send", *arguments, stdin=stdin, **{**target.credentials, **environ})

    return run


async def test_one_event(send: Command, target: Target) -> None:
    """An event from arguments is queued, and its id, session and durability are told."""
    result = await send("session_save", PAYLOAD)
    (row,) = await target.rows()
    assert (result.status, result.err) == (0, "")
    told = f"Accepted (fsynced): event {row.event_id}, session {row.session_id}\n"
    assert result.out == told
    assert (row.event, row.payload) == ("session_save", PAYLOAD)
    assert UUID(row.event_id).version == 7
