"""The tables. Both databases have the same ones; migrations/ brings an existing database here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine


class Moment(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond; aware in Python, naive in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind = mysql.DATETIME(fsp=6) if dialect.name == "mysql" else DateTime()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


Id = String(20)
Digest = String(64)
Words = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("language", String(8), nullable=False),
    Column("created_at", Moment, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False, index=True),
    Column("platform", String(32), nullable=False),
    Column("subject", String(400), nullable=False),
    # sha256 of platform and subject: openids differ by case, and a digest is compared exactly anywhere.
    Column("subject_key", Digest, nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
)

link_codes = Table(
    "link_codes",
    metadata,
    Column("hash", Digest, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("account_id", Id, nullable=True, index=True),
    Column("hash", Digest, nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=True),
    Column("revoked_at", Moment, nullable=True),
    # Words with blanks between; none is all.
    Column("scopes", String(200), nullable=False, server_default=""),
)

channels = Table(
    "channels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False, index=True),
    Column("name", String(200), nullable=False),
    Column("adapter", String(50), nullable=False),
    Column("channel_id", String(500), nullable=False),
    Column("thread_id", String(1000), nullable=False),
    Column("ref", Text, nullable=False),
    Column("home", Boolean, nullable=False),
    # `identity:` or `token:` and its id: when that goes, what it set goes too.
    Column("set_by", String(40), nullable=True),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False, index=True),
    Column("name", String(50), nullable=False),
    Column("alias", String(50), nullable=False),
    Column("remark", String(250), nullable=False),
    Column("token_hash", Digest, nullable=False, unique=True),
    Column("available", Boolean, nullable=False),
    Column("online", Boolean, nullable=False, index=True),
    Column("address", String(64), nullable=False),
    Column("journal", String(64), nullable=False),
    Column("activated_at", Moment, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("removed_at", Moment, nullable=True),
)

# What an agent said of itself, apart from the row that every poll reads.
hellos = Table(
    "hellos",
    metadata,
    Column("agent_id", Id, primary_key=True),
    Column("version", String(50), nullable=False),
    Column("hostname", String(255), nullable=False),
    Column("commands", Words, nullable=False),
    Column("shell", Boolean, nullable=False),
    Column("said_at", Moment, nullable=False),
)

# A code for the one exchange that gives a new machine its agent's token.
enrol_codes = Table(
    "enrol_codes",
    metadata,
    Column("hash", Digest, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("agent_id", Id, nullable=False, index=True),
    Column("expires_at", Moment, nullable=False, index=True),
)

# Names and aliases share one room an account; the row is what makes them unique.
agent_names = Table(
    "agent_names",
    metadata,
    Column("account_id", Id, primary_key=True),
    Column("name", String(50), primary_key=True),
    Column("agent_id", Id, nullable=False, index=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("agent_id", Id, nullable=False),
    Column("agent_name", String(50), nullable=False),
    Column("command", Text, nullable=False),
    Column("source", String(100), nullable=False),
    Column("callback", String(1000), nullable=False),
    Column("status", String(9), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("requested_by", String(40), nullable=False),
    Column("journal", String(64), nullable=False),
    Column("delivery_id", Id, nullable=True),
    Column("adapter", String(50), nullable=False),
    Column("channel_id", String(500), nullable=False),
    Column("thread_id", String(1000), nullable=False),
    Column("ref", Text, nullable=False),
    Column("thread_key", Digest, nullable=True),
    Column("cancel_asked_at", Moment, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("sent_at", Moment, nullable=True),
    Column("running_at", Moment, nullable=True),
    Column("succeeded_at", Moment, nullable=True),
    Column("failed_at", Moment, nullable=True),
    Column("expired_at", Moment, nullable=True),
    Column("canceled_at", Moment, nullable=True),
    Column("due_at", Moment, nullable=True),
    Index("jobs_of_account", "account_id", "id"),
    Index("jobs_in_status", "status", "agent_id", "id"),
    Index("jobs_in_thread", "thread_key", "id"),
    Index("jobs_due", "due_at"),
)

# Apart from the job, so that the row every move rewrites stays small.
results = Table(
    "results",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("text", Words, nullable=False),
)

# What a job says while it runs, a row a chunk; `start` and `size` are bytes of UTF-8.
outputs = Table(
    "outputs",
    metadata,
    Column("job_id", Id, primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("text", Words, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    # Of a job: job_id, seq and status say it all. Of a message: whose it is stands here.
    Column("job_id", Id, nullable=True),
    Column("agent_id", Id, nullable=True),
    Column("account_id", Id, nullable=True),
    Column("seq", Integer, nullable=True),
    Column("status", String(9), nullable=True),
    Column("body", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("job_id", "seq", name="events_of_job"),
)

# One row a commit, gone once its events have been announced: what is left here was not.
announcements = Table(
    "announcements",
    metadata,
    Column("id", Id, primary_key=True),
    Column("event_ids", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False, index=True),
    Column("job_id", Id, nullable=True, index=True),
    Column("event_id", Id, nullable=True, index=True),
    Column("reply", Words, nullable=True),
    Column("adapter", String(50), nullable=False),
    Column("channel_id", String(500), nullable=False),
    Column("thread_id", String(1000), nullable=False),
    Column("ref", Text, nullable=False),
    Column("handle", String(500), nullable=True),
    Column("shown_seq", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("failing_since", Moment, nullable=True),
    Column("last_error", String(500), nullable=False),
    Column("lease", String(20), nullable=False),
    Column("leased_until", Moment, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=True),
    Index("deliveries_due", "due_at"),
    Index("deliveries_in_state", "state", "id"),
    Index("deliveries_of_post", "handle"),
)

messages = Table(
    "messages",
    metadata,
    Column("message_key", Digest, primary_key=True),
    Column("job_id", Id, nullable=True),
    Column("reply", Words, nullable=True),
    Column("finished", Boolean, nullable=False),
    Column("leased_until", Moment, nullable=True),
    Column("created_at", Moment, nullable=False, index=True),
)

notes = Table(
    "notes",
    metadata,
    Column("book", String(50), primary_key=True),
    Column("note", String(200), primary_key=True),
    Column("value", Words, nullable=False),
    Column("expires_at", Moment, nullable=True, index=True),
)

# `facts`: raised by every change that makes what processes remember of tokens, agents and homes stale.
counters = Table(
    "counters",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
