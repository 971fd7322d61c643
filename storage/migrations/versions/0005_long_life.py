"""What a crawl that lives for months writes: orders to it, its own state, changes of budget, lists read again, notices.

Nothing of it can be inferred for the time before: the tables begin empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "orders",
        _id(),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("origin", sa.Text(), nullable=False, comment="where it was asked: command or page"),
        sa.Column("done_at", sa.BigInteger(), comment="NULL until the crawl obeyed"),
        sa.Column("answer", sa.Text(), comment="what came of it"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "budget_changes",
        _id(),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), comment="the run whose budget was raised; NULL: the daemon's total"),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "daemon",
        _id(),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), comment="when it goes on by itself"),
        sa.Column("total", sa.BigInteger(), comment="credits of budget.total; NULL: none"),
        sa.Column("per_day", sa.BigInteger(), comment="credits of budget.per_day; NULL: none"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "rereads",
        sa.Column("visit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gone", sa.BigInteger(), nullable=False, comment="follows that this visit found ended"),
        sa.Column("following", sa.BigInteger(), comment="what listings said that the account follows when it ended"),
        sa.Column(
            "order_chance",
            sa.Float(),
            comment="log10 of the chance that new follows came first by accident; above 0: they did not come first",
        ),
        sa.PrimaryKeyConstraint("visit_id"),
    )
    op.create_table(
        "notices",
        _id(),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="what it is told about once only"),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled_at", sa.BigInteger(), comment="delivered or given up; NULL: to be sent"),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event", "subject"),
    )
