"""The connection: durable, one writer at a time, in words when it fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from neuro_platform.store.database import Database, sqlite_url
from neuro_sdk.errors import PlatformError, ServerNotAvailable


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    async with database.write() as conn:
        await conn.execute(text("CREATE TABLE counters (n INTEGER)"))
        await conn.execute(text("INSERT INTO counters VALUES (0)"))
    yield database
    await database.close()


async def value(database: Database) -> int:
    async with database.read() as conn:
        return int((await conn.execute(text("SELECT n FROM counters"))).scalar_one())


async def test_what_is_written_is_safe_from_power_cuts(database: Database) -> None:
    async with database.read() as conn:
        assert (await conn.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await conn.execute(text("PRAGMA synchronous"))).scalar_one() == 2  # FULL
        assert (await conn.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


async def test_writers_take_turns(database: Database) -> None:
    async def add_one() -> None:
        async with database.write() as conn:
            n = int((await conn.execute(text("SELECT n FROM counters"))).scalar_one())
            await asyncio.sleep(0)
            await conn.execute(text("UPDATE counters SET n = :n"), {"n": n + 1})

    await asyncio.gather(*[add_one() for _ in range(20)])

    assert await value(database) == 20


async def test_a_failed_block_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as conn:
            await conn.execute(text("UPDATE counters SET n = 7"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await value(database) == 0


async def test_readers_do_not_wait_for_writers(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(text("UPDATE counters SET n = 7"))

        assert await value(database) == 0

    assert await value(database) == 7


async def test_another_process_may_write_too(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "platform.db", isolation_level=None, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE counters SET n = 5")

    async def add_one() -> None:
        async with database.write() as conn:
            await conn.execute(text("UPDATE counters SET n = n + 1"))

    waiting = asyncio.create_task(add_one())
    await asyncio.sleep(0.05)
    other.execute("COMMIT")
    other.close()
    await waiting

    assert await value(database) == 6


async def test_a_full_disk_is_said_so(database: Database) -> None:
    async def fill() -> None:
        async with database.write() as conn:
            await conn.execute(text("PRAGMA max_page_count = 1"))  # that is, no more than there are
            await conn.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))

    with pytest.raises(ServerNotAvailable, match="disk under the platform's data folder is full"):
        await fill()

    assert await value(database) == 0


@pytest.mark.parametrize("name", ["a b", "a?b=c", "50%", "a#b", "ä"])
async def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    await (await Database.open(sqlite_url(path))).close()

    assert path.is_file()


async def test_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing of the kind" * 100)

    with pytest.raises(PlatformError, match=r"Cannot use the database .*/x: file is not a database"):
        await Database.open(sqlite_url(tmp_path / "x"))
    with pytest.raises(PlatformError, match="Cannot use the database"):
        await Database.open(sqlite_url(tmp_path / "no" / "folder"))


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_either_way_to_name_sqlite_will_do(tmp_path: Path, scheme: str) -> None:
    await (await Database.open(f"{scheme}:///{tmp_path / 'x.db'}")).close()

    assert (tmp_path / "x.db").is_file()


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql", "mysql", "sqlite+pysqlcipher"])
async def test_another_database_is_refused_without_its_password(scheme: str) -> None:
    with pytest.raises(PlatformError, match=r"keeps its data in SQLite") as caught:
        await Database.open(f"{scheme}://neuro:hidden@db.example/neuro")

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "nonsense://x", ""])
async def test_a_url_that_is_none_is_said_so(url: str) -> None:
    with pytest.raises(PlatformError, match="database URL"):
        await Database.open(url)
