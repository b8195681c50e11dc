"""Users, their API keys and projects; sessions; the source of events, an index for their type."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
EVENT_INDEX = "ix_events_project_id_event_received_ms_event_id"
SESSIONS_OF_EVENTS = """
    INSERT INTO ingest_sessions
        (id, project_id, started_ms, message_count, first_ms, last_ms, updated_ms)
    SELECT session_id, project_id, min(received_ms), count(*), min(received_ms), max(received_ms),
        max(received_ms)
    FROM events GROUP BY session_id, project_id"""


def upgrade() -> None:
    """Create users, API keys and sessions; projects that are there have no owner."""
    _create_accounts()
    _set_aside()
    _create_projects(
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, sa.ForeignKey("users.id")),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("visibility", sa.Text, nullable=False, server_default="private"),
    )
    op.create_index("ix_projects_owner_id_name", "projects", ["owner_id", "name"], unique=True)
    nobodys = sa.text("owner_id IS NULL")
    op.create_index(
        "ix_projects_name_of_nobody",
        "projects",
        ["name"],
        unique=True,
        sqlite_where=nobodys,
        postgresql_where=nobodys,
    )
    op.add_column("secrets", sa.Column("last_used_ms", sa.BigInteger))
    _put_back()
    _create_sessions()
    op.execute(SESSIONS_OF_EVENTS)
    op.add_column("events", sa.Column("source", sa.Text))
    op.create_index(EVENT_INDEX, "events", ["project_id", "event", "received_ms", "event_id"])


def downgrade() -> None:
    """Drop what `upgrade` has made, and all that is in it; names must be unique over all users."""
    op.drop_index(EVENT_INDEX, "events")
    op.drop_column("events", "source")
    op.drop_table("ingest_sessions")
    _set_aside()
    _create_projects(sa.Column("name", sa.Text, nullable=False, unique=True))
    _put_back()
    op.drop_table("api_keys")
    op.drop_table("users")


_KEPT = {
    "projects": "id, name, status, created_ms, updated_ms",
    "secrets": "project_id, sealed, expires_ms",
}


def _set_aside() -> None:
    """Copy projects and secrets, and drop the tables: SQLite cannot alter what a name must be."""
    for table in _KEPT:
        op.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}")  # noqa: S608
    op.drop_table("secrets")
    op.drop_table("projects")


def _create_projects(name: sa.Column[str], *more: sa.Column[str]) -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, primary_key=True),
        name,
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        *more,
    )
    op.create_table(
        "secrets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
    )
    op.create_index("ix_secrets_project_id", "secrets", ["project_id"])


def _put_back() -> None:
    for table, columns in _KEPT.items():
        chosen = f"SELECT {columns} FROM old_{table} ORDER BY id"  # noqa: S608 - our own names
        op.execute(f"INSERT INTO {table} ({columns}) {chosen}")
        op.drop_table(f"old_{table}")


def _create_accounts() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("last_used_ms", sa.BigInteger),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])


def _create_sessions() -> None:
    op.create_table(
        "ingest_sessions",
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
    )
    op.create_index(
        "ix_ingest_sessions_project_id_started_ms_id",
        "ingest_sessions",
        ["project_id", "started_ms", "id"],
    )
