"""The tables. Times are Unix milliseconds; a change here needs a migration beside it.

A payload is kept as the text that was signed: PostgreSQL's `json` (not `jsonb`, which rewrites it
and refuses \\u0000) and SQLite's TEXT.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False, index=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("expires_ms", sa.BigInteger),
)

# Columns in the order of core.event.Row.
events = sa.Table(
    "events",
    metadata,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("payload", sa.Text().with_variant(postgresql.JSON(), "postgresql"), nullable=False),
    sa.Column("occurred_ms", sa.BigInteger),
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Index(None, "project_id", "received_ms", "event_id"),
)
