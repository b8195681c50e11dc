"""Users, their API keys and projects; sessions; events: their source, an index per filter."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
EVENT_INDEXES = (
    ["project_id", "session_id", "received_ms", "event_id"],
    ["project_id", "event", "received_ms", "event_id"],
)
SESSION_INDEXES = (
    ["project_id", "started_ms", "id"],
    ["project_id", "status", "started_ms", "id"],
)


def upgrade() -> None:
    """Create users, API keys and sessions; projects that are there have no owner."""
    _create_accounts()
    # Alembic would add the foreign key by a statement of its own, which SQLite does not have.
    op.execute("ALTER TABLE projects ADD COLUMN owner_id TEXT REFERENCES users (id)")
    op.add_column("projects", sa.Column("description", sa.Text, nullable=False, server_default=""))
    op.add_column(
        "projects", sa.Column("visibility", sa.Text, nullable=False, server_default="private")
    )
    op.create_index("ix_projects_owner_id", "projects", ["owner_id"])
    op.add_column("secrets", sa.Column("last_used_ms", sa.BigInteger))
    _create_sessions()
    op.add_column("events", sa.Column("source", sa.Text))
    for columns in EVENT_INDEXES:
        op.create_index(_name("events", columns), "events", columns)


def downgrade() -> None:
    """Drop what `upgrade` has made, and all that is in it."""
    for columns in EVENT_INDEXES:
        op.drop_index(_name("events", columns), "events")
    op.drop_column("events", "source")
    op.drop_table("ingest_sessions")
    op.drop_column("secrets", "last_used_ms")
    op.drop_index("ix_projects_owner_id", "projects")
    for column in ("visibility", "description", "owner_id"):
        op.drop_column("projects", column)
    op.drop_table("api_keys")
    op.drop_table("users")


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
        sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("message_count", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("closed_ms", sa.BigInteger),
    )
    for columns in SESSION_INDEXES:
        op.create_index(_name("ingest_sessions", columns), "ingest_sessions", columns)


def _name(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"
