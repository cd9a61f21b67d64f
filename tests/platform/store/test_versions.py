"""The schema of the database, new and grown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from neuro_platform.store.schema import metadata
from neuro_platform.store.versions import bring_up_to_date, known, migrate
from neuro_sdk.errors import PlatformError


@contextmanager
def connected(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()  # only now: what is in use would be left open


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns and indexes, as SQLite sees them."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
        for name in names:
            for _, index, unique, *_ in connection.execute(f"PRAGMA index_list({name})").fetchall():
                columns = tuple(row[2] for row in connection.execute(f"PRAGMA index_info({index})"))
                found[name].append((unique, columns, None if index.startswith("sqlite_autoindex") else index))
            found[name] += connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
            found[name].sort(key=str)
    return found


def test_a_new_database_is_as_one_that_has_grown(tmp_path: Path) -> None:
    with connected(tmp_path / "new") as connection:
        bring_up_to_date(connection)
        connection.commit()
    with connected(tmp_path / "grown") as connection:
        for revision in known():
            migrate(connection, revision)
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        connection.commit()

    assert differences == []
    assert tables(tmp_path / "new") == tables(tmp_path / "grown")


@pytest.mark.parametrize("revision", known()[:-1])
def test_an_older_database_is_brought_up_to_date(tmp_path: Path, revision: str) -> None:
    with connected(tmp_path / "old") as connection:
        migrate(connection, revision)
        connection.commit()

        bring_up_to_date(connection)
        bring_up_to_date(connection)
        connection.commit()

        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == known()[-1]


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    with connected(tmp_path / "newer") as connection:
        bring_up_to_date(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        with pytest.raises(PlatformError, match=rf"newer version.*9999.*up to {known()[-1]}"):
            bring_up_to_date(connection)


def test_other_databases_could_have_these_tables() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
