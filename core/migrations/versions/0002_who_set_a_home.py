"""A home remembers who set it, so that it goes when they no longer speak for the account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channels", sa.Column("set_by", sa.String(40), nullable=True))
