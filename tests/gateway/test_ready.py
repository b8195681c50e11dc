"""Connections are served in a row, and a bug in one is not the others' fault."""

import asyncio

import pytest

from gateway.ready import Ready


class Noted:
    """Notes what it is told."""

    def __init__(self, told: list[str], name: str, bug: Exception | None = None) -> None:
        self.told, self.name, self.bug = told, name, bug

    def go_on(self) -> None:
        """See Served."""
        self.told.append(self.name)
        if self.bug:
            raise self.bug

    def abort(self) -> None:
        """See Served."""
        self.told.append(f"{self.name} aborted")


async def test_in_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """All are served in the loop's next turn, in order; one that raises is ended, and told of."""
    told: list[str] = []
    ready = Ready()
    ready.add(Noted(told, "a", ZeroDivisionError("a bug")))
    ready.add(Noted(told, "b"))
    assert told == []
    await asyncio.sleep(0)
    assert told == ["a", "a aborted", "b"]
    assert "a bug" in "".join(capsys.readouterr())
    ready.add(Noted(told, "c"))
    await asyncio.sleep(0)
    assert told[3:] == ["c"]
