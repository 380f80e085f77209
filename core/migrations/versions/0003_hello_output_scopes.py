"""Agents say hello, send live output and enrol by a code; tokens have scopes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(20)
DIGEST = sa.String(64)
WORDS = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("scopes", sa.String(200), nullable=False, server_default=""))
    create_hellos()
    create_enrol_codes()
    create_outputs()


def create_hellos() -> None:
    op.create_table(
        "hellos",
        sa.Column("agent_id", ID, primary_key=True),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("commands", WORDS, nullable=False),
        sa.Column("shell", sa.Boolean(), nullable=False),
        sa.Column("said_at", MOMENT, nullable=False),
    )


def create_enrol_codes() -> None:
    op.create_table(
        "enrol_codes",
        sa.Column("hash", DIGEST, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_enrol_codes_agent_id", "enrol_codes", ["agent_id"])
    op.create_index("ix_enrol_codes_expires_at", "enrol_codes", ["expires_at"])


def create_outputs() -> None:
    op.create_table(
        "outputs",
        sa.Column("job_id", ID, primary_key=True),
        sa.Column("start", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("text", WORDS, nullable=False),
    )
