"""Credits that a daemon has until a day only.

Those given before stay without an end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("budget_changes", sa.Column("until_day", sa.Text()))
    op.add_column("budget_changes", sa.Column("used", sa.BigInteger()))
