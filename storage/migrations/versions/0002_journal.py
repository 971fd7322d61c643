"""The journal, so that a database can be replayed from its archive.

Of what was done before there was one, this is inferred and marked so: the seeds, and the beginning of each run. Where
seeds were added in the second of a page, or a run was continued with other settings, that may not be what happened.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SEEDS = """
SELECT coalesce((SELECT handle FROM handle_history h WHERE h.account_id = a.id ORDER BY h.id LIMIT 1), a.handle),
       a.first_seen_at,
       CASE WHEN a.id <= (SELECT count(*) FROM frontier first WHERE first.depth = 0 AND first.account_id <= a.id) THEN 0
            ELSE coalesce((SELECT max(l.id) FROM ledger l WHERE l.at <= a.first_seen_at), 0) END
FROM frontier f JOIN accounts a ON a.id = f.account_id
WHERE f.depth = 0 ORDER BY a.id
"""
_RUNS = """
SELECT r.id, (SELECT max(p.id) FROM processes p WHERE p.run_id = r.id), r.strategy, r.settings,
       coalesce((SELECT min(l.id) - 1 FROM ledger l WHERE l.run_id >= r.id AND l.outcome <> 'reconciled'),
                (SELECT max(l.id) FROM ledger l), 0)
FROM runs r ORDER BY r.id
"""


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ledger_id", sa.BigInteger(), nullable=False, comment="the last ledger row when it was done"),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("id"),
    )
    conn = op.get_bind()
    acts: list[tuple[int, str, dict[str, object]]] = [
        (place, "seeded", {"handle": handle, "at": at}) for handle, at, place in conn.execute(sa.text(_SEEDS))
    ]
    before = None
    for run, process, strategy, settings, place in conn.execute(sa.text(_RUNS)):
        asked = json.loads(settings)
        acts.append((place, "began", {"run": run, "process": process, "strategy": strategy, "settings": asked}))
        acts.append((place, "depth_limited", {"max_depth": asked.get("max_depth")}))
        if strategy != before:
            if strategy == "flow" and before is not None:
                acts.append((place, "cash_rebuilt", {}))
            acts.append((place, "ranked", {"after": 0, "at_most": 2**53}))
            acts.append((place, "remembered", {"key": "ranked_by", "value": strategy}))
        before = strategy
    insert = sa.text("INSERT INTO journal (ledger_id, act, details) VALUES (:place, :act, :details)")
    for place, act, details in sorted(acts, key=lambda act: act[0]):
        conn.execute(
            insert, {"place": place, "act": act, "details": json.dumps({**details, "inferred": True}, sort_keys=True)}
        )
