"""Which version of the schema a database has, and how it gets to ours."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select
from sqlalchemy.engine import Connection

from neuro_platform.store.schema import metadata
from neuro_sdk.errors import PlatformError

_FOLDER = Path(__file__).parent / "migrations"

# where Alembic keeps the revision
_VERSION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def known() -> list[str]:
    """Our revisions, oldest first: a migration's file name begins with its revision, ``0001_jobs.py``."""
    return sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables in a new database, or run the migrations that an older one lacks, in the open transaction."""
    present = _present(connection)
    revisions = known()
    if present == revisions[-1]:
        return
    if present is None:
        create(connection, revisions[-1])
    elif present in revisions:
        migrate(connection)
    else:
        raise PlatformError(
            f"The database was written by a newer version of this program (schema {present}, this one knows up to"
            f" {revisions[-1]}): install that version, or use another data folder"
        )


def create(connection: Connection, revision: str) -> None:
    """The tables as they are now; a test holds this and the migrations to the same result."""
    metadata.create_all(connection)
    _VERSION.create(connection)
    connection.execute(insert(_VERSION).values(version_num=revision))


def migrate(connection: Connection, revision: str = "head") -> None:
    """Go from whichever version this is to a newer one, from none at all too."""
    from alembic import command  # as large as the rest of the server, and hardly ever needed
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _present(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
