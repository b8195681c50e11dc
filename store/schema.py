"""The tables. Times are Unix milliseconds; a change here needs a migration beside it.

A payload is kept as the text that was signed: PostgreSQL's `json` (not `jsonb`, which rewrites it
and refuses \\u0000) and SQLite's TEXT.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),  # in lower case
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
)

# Columns in the order of core.users.ApiKey; of the key itself there is only the digest.
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("last_used_ms", sa.BigInteger),
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
    sa.Column("owner_id", sa.Text, sa.ForeignKey("users.id")),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("visibility", sa.Text, nullable=False, server_default="private"),
    sa.Index(None, "owner_id", "name", unique=True),
)
# A name is its owner's alone; to an index, one NULL is unlike another. This one holds only projects
# without an owner, which migration 0003 says: here, that would load PostgreSQL's dialect for all.
sa.Index("ix_projects_name_of_nobody", projects.c.name, unique=True)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False, index=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("last_used_ms", sa.BigInteger),
)

# What an event's session_id means; columns in the order of core.sessions.Session. Events are kept
# whether there is a project or not, and so are their sessions.
ingest_sessions = sa.Table(
    "ingest_sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("summary", sa.Text),
    sa.Column("message_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("first_ms", sa.BigInteger),
    sa.Column("last_ms", sa.BigInteger),
    sa.Column("updated_ms", sa.BigInteger, nullable=False),
    sa.Column("closed_ms", sa.BigInteger),
    sa.Index(None, "project_id", "started_ms", "id"),
)

# Columns in the order of core.event.Row. An index costs each event's write up to a third more, so
# there are two; why these, see docs/adr/0008-two-indexes-of-events.md.
events = sa.Table(
    "events",
    metadata,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("payload", sa.Text().with_variant(sa.JSON(), "postgresql"), nullable=False),
    sa.Column("occurred_ms", sa.BigInteger),
    sa.Column("received_ms", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text),
    sa.Index(None, "project_id", "received_ms", "event_id"),
    sa.Index(None, "project_id", "event", "received_ms", "event_id"),
)

# How many rows of a project were ever stored as new; changed in the transaction that stores them.
stored_counts = sa.Table(
    "stored_counts",
    metadata,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("stored", sa.BigInteger, nullable=False),
)

# The queue's ledger as last seen (core/ledger.py), for a queue that forgets it. Columns in the
# order of core.ledger.Totals; the project "" is the sum over entries.
ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("accepted", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.BigInteger, nullable=False),
    sa.Column("dead", sa.BigInteger, nullable=False),
    sa.Column("purged", sa.BigInteger, nullable=False),
    sa.Column("written_off", sa.BigInteger, nullable=False),
)

queues = sa.Table(
    "queues",
    metadata,
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("queue_id", sa.Text, nullable=False),
)
