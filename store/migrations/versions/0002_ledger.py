"""The ledger: what was stored, and what the queue counts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the ledger's tables, and count what is stored already."""
    op.create_table(
        "stored_counts",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("stored", sa.BigInteger, nullable=False),
    )
    op.execute(
        "INSERT INTO stored_counts SELECT project_id, count(*) FROM events GROUP BY project_id"
    )
    op.create_table(
        "ledger",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("dead", sa.BigInteger, nullable=False),
        sa.Column("purged", sa.BigInteger, nullable=False),
        sa.Column("written_off", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "queues",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("queue_id", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the ledger's tables."""
    op.drop_table("queues")
    op.drop_table("ledger")
    op.drop_table("stored_counts")
