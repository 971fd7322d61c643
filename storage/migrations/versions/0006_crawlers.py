"""What many crawlers of one database need to know of each other.

Of processes that ended before nothing more is known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("commits", "pages", "in_flight"):
        op.add_column("processes", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
