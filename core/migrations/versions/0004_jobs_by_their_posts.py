"""A job is found by the post that tells of it, as by the thread that it came from."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("deliveries_of_post", "deliveries", ["handle"])
