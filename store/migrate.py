"""Bring a database to this version's schema; safe when several processes start at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x434F4E54  # "CONT": any number that every process of ours agrees on


async def migrate(engine: AsyncEngine) -> None:
    """Apply the migrations that the database lacks, under a lock, in one transaction."""
    lock = {
        "sqlite": "BEGIN IMMEDIATE",
        "postgresql": f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})",
    }
    async with engine.begin() as connection:
        await connection.exec_driver_sql(lock[engine.dialect.name])
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
