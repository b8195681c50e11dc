"""Projects, their secrets, and events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "projects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Text, sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
    )
    op.create_index("ix_secrets_project_id", "secrets", ["project_id"])
    op.create_table(
        "events",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column(
            "payload", sa.Text().with_variant(postgresql.JSON(), "postgresql"), nullable=False
        ),
        sa.Column("occurred_ms", sa.BigInteger),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_events_project_id_received_ms_event_id",
        "events",
        ["project_id", "received_ms", "event_id"],
    )


def downgrade() -> None:
    """Drop the first tables, and all that is in them."""
    op.drop_table("events")
    op.drop_table("secrets")
    op.drop_table("projects")
