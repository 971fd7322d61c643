"""People who are kept out: keyed hashes of who opted out or was forgotten, how often lists named them, receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "optouts",
        sa.Column("hash", sa.Text(), nullable=False, comment="keyed, of a handle or a platform id"),
        sa.Column("kind", sa.Text(), nullable=False, comment="handle, id, or hash where it was given as one"),
        sa.Column("person", sa.BigInteger(), nullable=False, comment="the same for all hashes of one person"),
        sa.Column("reason", sa.Text(), nullable=False, comment="opted_out or forgotten"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "withheld",
        sa.Column(
            "visit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("accounts", sa.BigInteger(), nullable=False, comment="listed by the visit and not kept"),
        sa.PrimaryKeyConstraint("visit_id"),
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False, comment="forgotten, opted_out or purged"),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON: counts, nobody's name"),
        sa.Column("hash", sa.Text(), nullable=False, comment="SHA-256 of the three columns before it"),
        sa.PrimaryKeyConstraint("id"),
    )
