"""Bringing a database to today's tables; one process at a time, the others wait."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from core.store.database import Database

SCRIPTS = Path(__file__).parent.parent / "migrations"
LOCK = "skadi migrations"
LONGEST_WAIT = 300  # seconds, for a large table that another process is changing


async def migrate(url: str) -> None:
    """Safe to call again, and from several processes at once."""
    database = Database(url)
    try:
        async with database.engine.connect() as connection:
            await connection.execution_options(writes=True)
            async with connection.begin():
                await connection.run_sync(_upgrade, database.lite)
    finally:
        await database.close()


async def revision(url: str) -> tuple[str | None, str]:
    """(what the database has, what this program wants)."""
    database = Database(url)
    try:
        async with database.reading() as connection:
            has = await connection.run_sync(
                lambda c: MigrationContext.configure(c).get_current_revision()
            )
    finally:
        await database.close()
    return has, str(ScriptDirectory(str(SCRIPTS)).get_current_head())


def _upgrade(connection: Connection, lite: bool) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if lite:  # BEGIN IMMEDIATE has the lock already
        command.upgrade(config, "head")
        return
    connection.execute(text("SELECT GET_LOCK(:name, :wait)"), {"name": LOCK, "wait": LONGEST_WAIT})
    try:
        command.upgrade(config, "head")
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK})
