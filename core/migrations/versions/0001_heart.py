"""The tables of the heart."""

from alembic import op
from sqlalchemy import Connection, text

from core.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "mysql":
        _compare_exactly(connection)
    metadata.create_all(connection)
    connection.execute(metadata.tables["counters"].insert(), {"name": "facts", "value": 1})


def _compare_exactly(connection: Connection) -> None:
    """Ids, names and openids that differ only by case or trailing blanks are different: a binary
    collation that pads nothing, which the two families call by different names."""
    version = str(connection.execute(text("SELECT VERSION()")).scalar())
    collation = "utf8mb4_nopad_bin" if "MariaDB" in version else "utf8mb4_0900_bin"
    database = connection.execute(text("SELECT DATABASE()")).scalar()
    quoted = connection.dialect.identifier_preparer.quote(str(database))
    connection.execute(text(f"ALTER DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE {collation}"))
