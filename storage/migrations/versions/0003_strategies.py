"""What strategies, overlays and sub-budgets need to know of an entry and a visit.

Whose seed an account was discovered through is worked out from the visits in their order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FRONTIER: tuple[sa.Column[object], ...] = (
    sa.Column("seed_id", sa.BigInteger()),
    sa.Column("lane", sa.SmallInteger(), nullable=False, server_default="0"),
    sa.Column("listings", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("merit", sa.Float(), nullable=False, server_default="0"),
    sa.Column("quality", sa.Float(), nullable=False, server_default="0"),
    sa.Column("chance", sa.Float()),
)
_VISITS: tuple[sa.Column[object], ...] = (
    sa.Column("queue", sa.Text()),
    sa.Column("seed_id", sa.BigInteger()),
    sa.Column("depth", sa.BigInteger()),
    sa.Column("hits", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("rate", sa.Float()),
    sa.Column("log_followers", sa.Float(), nullable=False, server_default="0"),
    sa.Column("order_score", sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column("order_tests", sa.BigInteger(), nullable=False, server_default="0"),
)


def upgrade() -> None:
    conn = op.get_bind()
    for column in _FRONTIER:
        op.add_column("frontier", column)
    for column in _VISITS:
        op.add_column("visits", column)
    op.add_column("runs", sa.Column("forecast", sa.Text()))
    op.drop_index("frontier_pick", table_name="frontier")
    for name, columns, where in (
        ("frontier_pick", "lane, priority DESC, account_id", "state = 0"),
        ("frontier_explore", "chance DESC, account_id", "state = 0 AND chance IS NOT NULL"),
        ("frontier_retry", "priority DESC, account_id", "state = 0 AND attempts > 0"),
    ):
        conn.execute(sa.text(f"CREATE INDEX {name} ON frontier ({columns}) WHERE {where}"))
    op.create_table(
        "allowances",
        sa.Column("run_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("uncertain", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "control_draws",
        sa.Column("run_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("wave", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("place", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "wave", "place"),
        sqlite_with_rowid=False,
    )
    conn.execute(sa.text("UPDATE visits SET queue = 'main'"))
    _trace_seeds(conn)


def _trace_seeds(conn: sa.Connection) -> None:
    seed_of = {
        account: account for (account,) in conn.execute(sa.text("SELECT account_id FROM frontier WHERE depth = 0"))
    }
    for visit, account in conn.execute(sa.text("SELECT id, account_id FROM visits ORDER BY id")).all():
        seed = seed_of.get(account)
        if seed is None:
            continue
        listed = sa.text("SELECT dst FROM follows WHERE src = :src AND first_visit = :visit")
        for (target,) in conn.execute(listed, {"src": account, "visit": visit}):
            seed_of.setdefault(target, seed)
    rows = [{"account": account, "seed": seed} for account, seed in seed_of.items()]
    if rows:
        conn.execute(sa.text("UPDATE frontier SET seed_id = :seed WHERE account_id = :account"), rows)
        conn.execute(
            sa.text(
                "UPDATE visits SET (seed_id, depth) = (SELECT f.seed_id, f.depth FROM frontier f"
                " WHERE f.account_id = visits.account_id)"
            )
        )
