"""Alembic's way in: it is always given an open connection, never an address of its own."""

from alembic import context

from core.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
