"""The tables of the heart."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# As they were meant when this was written, whatever core/schema.py means by them today.
ID = sa.String(20)
DIGEST = sa.String(64)
WORDS = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "mysql":
        compare_exactly(connection)
    for create in (
        create_accounts,
        create_channels,
        create_agents,
        create_jobs,
        create_events,
        create_deliveries,
        create_messages,
    ):
        create()


def compare_exactly(connection: sa.Connection) -> None:
    """Ids, names and openids that differ only by case or trailing blanks are different: a binary
    collation that pads nothing, which the two families call by different names."""
    version = str(connection.execute(sa.text("SELECT VERSION()")).scalar())
    collation = "utf8mb4_nopad_bin" if "MariaDB" in version else "utf8mb4_0900_bin"
    database = connection.execute(sa.text("SELECT DATABASE()")).scalar()
    quoted = connection.dialect.identifier_preparer.quote(str(database))
    connection.execute(
        sa.text(f"ALTER DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE {collation}")
    )


def create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "identities",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("platform", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(400), nullable=False),
        sa.Column("subject_key", DIGEST, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("subject_key"),
    )
    op.create_index("ix_identities_account_id", "identities", ["account_id"])
    op.create_table(
        "link_codes",
        sa.Column("hash", DIGEST, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_link_codes_expires_at", "link_codes", ["expires_at"])
    op.create_table(
        "tokens",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("account_id", ID, nullable=True),
        sa.Column("hash", DIGEST, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.UniqueConstraint("hash"),
    )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"])


def create_channels() -> None:
    op.create_table(
        "channels",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("adapter", sa.String(50), nullable=False),
        sa.Column("channel_id", sa.String(500), nullable=False),
        sa.Column("thread_id", sa.String(1000), nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("home", sa.Boolean, nullable=False),
    )
    op.create_index("ix_channels_account_id", "channels", ["account_id"])


def create_agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("alias", sa.String(50), nullable=False),
        sa.Column("remark", sa.String(250), nullable=False),
        sa.Column("token_hash", DIGEST, nullable=False),
        sa.Column("available", sa.Boolean, nullable=False),
        sa.Column("online", sa.Boolean, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("journal", sa.String(64), nullable=False),
        sa.Column("activated_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("ix_agents_account_id", "agents", ["account_id"])
    op.create_index("ix_agents_online", "agents", ["online"])
    op.create_table(
        "agent_names",
        sa.Column("account_id", ID, primary_key=True),
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("agent_id", ID, nullable=False),
    )
    op.create_index("ix_agent_names_agent_id", "agent_names", ["agent_id"])


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("agent_id", ID, nullable=False),
        sa.Column("agent_name", sa.String(50), nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("callback", sa.String(1000), nullable=False),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("requested_by", sa.String(40), nullable=False),
        sa.Column("journal", sa.String(64), nullable=False),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("adapter", sa.String(50), nullable=False),
        sa.Column("channel_id", sa.String(500), nullable=False),
        sa.Column("thread_id", sa.String(1000), nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("thread_key", DIGEST, nullable=True),
        sa.Column("cancel_asked_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("running_at", MOMENT, nullable=True),
        sa.Column("succeeded_at", MOMENT, nullable=True),
        sa.Column("failed_at", MOMENT, nullable=True),
        sa.Column("expired_at", MOMENT, nullable=True),
        sa.Column("canceled_at", MOMENT, nullable=True),
        sa.Column("due_at", MOMENT, nullable=True),
    )
    op.create_index("jobs_of_account", "jobs", ["account_id", "id"])
    op.create_index("jobs_in_status", "jobs", ["status", "agent_id", "id"])
    op.create_index("jobs_in_thread", "jobs", ["thread_key", "id"])
    op.create_index("jobs_due", "jobs", ["due_at"])
    op.create_table(
        "results",
        sa.Column("job_id", ID, primary_key=True),
        sa.Column("text", WORDS, nullable=False),
    )


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", ID, primary_key=True),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("agent_id", ID, nullable=True),
        sa.Column("account_id", ID, nullable=True),
        sa.Column("seq", sa.Integer, nullable=True),
        sa.Column("status", sa.String(9), nullable=True),
        sa.Column("body", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("job_id", "seq", name="events_of_job"),
    )
    op.create_table(
        "announcements",
        sa.Column("id", ID, primary_key=True),
        sa.Column("event_ids", WORDS, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )


def create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", ID, primary_key=True),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("event_id", ID, nullable=True),
        sa.Column("reply", WORDS, nullable=True),
        sa.Column("adapter", sa.String(50), nullable=False),
        sa.Column("channel_id", sa.String(500), nullable=False),
        sa.Column("thread_id", sa.String(1000), nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("handle", sa.String(500), nullable=True),
        sa.Column("shown_seq", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.Column("last_error", sa.String(500), nullable=False),
        sa.Column("lease", sa.String(20), nullable=False),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
    )
    op.create_index("ix_deliveries_account_id", "deliveries", ["account_id"])
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"])
    op.create_index("deliveries_due", "deliveries", ["due_at"])
    op.create_index("deliveries_in_state", "deliveries", ["state", "id"])


def create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_key", DIGEST, primary_key=True),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("reply", WORDS, nullable=True),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index("ix_messages_created_at", "messages", ["created_at"])
    op.create_table(
        "notes",
        sa.Column("book", sa.String(50), primary_key=True),
        sa.Column("note", sa.String(200), primary_key=True),
        sa.Column("value", WORDS, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
    )
    op.create_index("ix_notes_expires_at", "notes", ["expires_at"])
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "facts", "value": 1}])
