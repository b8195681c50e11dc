"""The store's side of the ledger: what is stored, and a copy of the queue's counts."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from core.ledger import Totals
from store.engine import transaction
from store.schema import ledger, queues, stored_counts

COUNTS = Totals._fields
GROWING = [name for name in COUNTS if name != "dead"]  # a replay or a purge lowers that one
# `greatest` on PostgreSQL, `max` with several arguments on SQLite
RAISE = {
    dialect: sa.text(
        f"INSERT INTO ledger (partition, project_id, {', '.join(COUNTS)})"  # noqa: S608
        f" VALUES (:partition, :project_id, {', '.join(':' + name for name in COUNTS)})"
        " ON CONFLICT (partition, project_id) DO UPDATE SET dead = excluded.dead, "
        + ", ".join(f"{name} = {greatest}(ledger.{name}, excluded.{name})" for name in GROWING)
    )
    for dialect, greatest in (("postgresql", "greatest"), ("sqlite", "max"))
}
SET_ID = sa.text(
    "INSERT INTO queues (partition, queue_id) VALUES (:partition, :queue_id)"
    " ON CONFLICT (partition) DO UPDATE SET queue_id = excluded.queue_id"
)


class SqlLedger:
    """The LedgerStore port on SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def stored(self, project_ids: Collection[str]) -> dict[str, int]:
        """See core.ports.LedgerStore."""
        query = sa.select(stored_counts.c.project_id, stored_counts.c.stored)
        if len(project_ids) == 1:
            query = query.where(stored_counts.c.project_id == next(iter(project_ids)))
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        wanted = set(project_ids)
        return {project: stored for project, stored in rows if project in wanted}

    async def queue_id(self, partition: int) -> str | None:
        """See core.ports.LedgerStore."""
        query = sa.select(queues.c.queue_id).where(queues.c.partition == partition)
        async with transaction(self._engine) as connection:
            return (await connection.execute(query)).scalar()

    async def copy(self, partition: int) -> dict[str, Totals]:
        """See core.ports.LedgerStore."""
        columns = [ledger.c[name] for name in COUNTS]
        query = sa.select(ledger.c.project_id, *columns).where(ledger.c.partition == partition)
        async with transaction(self._engine) as connection:
            return {
                project: Totals(*counts) for project, *counts in await connection.execute(query)
            }

    async def remember(self, partition: int, queue_id: str, totals: Mapping[str, Totals]) -> None:
        """See core.ports.LedgerStore."""
        rows = [
            {"partition": partition, "project_id": project, **counts._asdict()}
            for project, counts in sorted(totals.items())
        ]
        async with transaction(self._engine) as connection:
            await connection.execute(SET_ID, {"partition": partition, "queue_id": queue_id})
            if rows:
                await connection.execute(RAISE[self._engine.dialect.name], rows)
