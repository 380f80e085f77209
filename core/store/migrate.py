"""Bringing a database to today's tables; one process at a time, the others wait."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from core.errors import SettingsError, Unavailable
from core.store.database import Database, is_collision, is_cut

SCRIPTS = Path(__file__).parent.parent / "migrations"
LOCK = "skadi migrations"
LONGEST_WAIT = 300  # seconds, for a large table that another process is changing


async def migrate(url: str) -> None:
    """Safe to call again, and from several processes at once.

    Unavailable while the database is away; SettingsError when a newer program has changed it."""
    database = Database(url)
    try:
        has = await _read_revision(database)
        if has == _newest():
            return
        if has and has not in _revisions():
            raise SettingsError(
                f"The database has the tables of a newer Skadi ({has}); this one knows {_newest()}. "
                "Start that newer one, or give this one another database."
            )
        await _change(database)
    finally:
        await database.close()


async def revision(url: str) -> tuple[str | None, str]:
    """(what the database has, what this program wants)."""
    database = Database(url)
    try:
        return await _read_revision(database), _newest()
    finally:
        await database.close()


def _revisions() -> list[str]:
    """Their files begin with them, oldest first."""
    return sorted(path.name.partition("_")[0] for path in SCRIPTS.glob("versions/[0-9]*_*.py"))


def _newest() -> str:
    return _revisions()[-1]


async def _read_revision(database: Database) -> str | None:
    """Without Alembic, which takes longer to load than everything else a start does here."""
    async with database.reading() as connection:
        return await connection.run_sync(_ask_revision)


def _ask_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


async def _change(database: Database) -> None:
    try:
        async with database.engine.connect() as connection:
            await connection.execution_options(writes=True)
            async with connection.begin():
                await connection.run_sync(_upgrade, database.lite)
    except (DBAPIError, OSError) as error:
        if isinstance(error, OSError) or _is_no_fault_of_the_scripts(error):
            raise Unavailable("The database does not let its tables be changed now.") from error
        raise


def _is_no_fault_of_the_scripts(error: DBAPIError) -> bool:
    """It could not be reached (then there is no statement yet), or was cut, or is locked."""
    return error.statement is None or is_cut(error) or is_collision(error)


def _upgrade(connection: Connection, lite: bool) -> None:
    if lite:  # BEGIN IMMEDIATE has the lock already
        return _run_scripts(connection)
    # It ends with this line to the server, and so after the commit: given back here, it would let
    # another process in before that can see what was done.
    lock = text("SELECT GET_LOCK(:name, :wait)")
    if not connection.execute(lock, {"name": LOCK, "wait": LONGEST_WAIT}).scalar():
        raise Unavailable("Another process has been changing the tables for minutes.")
    _run_scripts(connection)


def _run_scripts(connection: Connection) -> None:
    """All that are still to run; none where another process was first."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
