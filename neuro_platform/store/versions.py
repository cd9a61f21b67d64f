"""Which version of the schema a database has, and how it gets to ours."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from neuro_sdk.errors import PlatformError

_FOLDER = Path(__file__).parent / "migrations"


def known() -> list[str]:
    """Our revisions, oldest first: a migration's file name begins with its revision, ``0001_jobs.py``."""
    return sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def bring_up_to_date(connection: Connection) -> None:
    """Run the migrations that this database lacks, within the connection's transaction."""
    present = _present(connection)
    revisions = known()
    if present == revisions[-1]:
        return
    if present is not None and present not in revisions:
        raise PlatformError(
            f"The database was written by a newer version of this program (schema {present}, this one knows up to"
            f" {revisions[-1]}): install that version, or use another data folder"
        )
    _upgrade(connection)


def _present(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    # Alembic costs more to import than most of the server, so only here
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
