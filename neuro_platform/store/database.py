"""The connection to the database: many readers, one writer at a time, the schema brought up to date on opening."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from neuro_platform.exits import Unusable
from neuro_platform.settings import Settings
from neuro_platform.store.versions import bring_up_to_date
from neuro_sdk.errors import PlatformError, ServerNotAvailable

_WRITES = "neuro_writes"  # execution option of connections that are going to write
_PAGE = 4096
_SET_ASIDE = 8 * 2**20  # bytes of disk for the changes that jobs still need when there is no other room
_LITTLE = 2**19  # the same, on a disk with little room
_BUSY_SECONDS = 15  # how long SQLite waits for another process, such as `neuro platform user add`
_FULL = "The disk under the platform's data folder is full: nothing was stored; free some space and try again"


class Database:
    """SQLite, through SQLAlchemy Core.

    On a full disk what is there can still be changed for a while, so that jobs can be stopped: every change goes to
    SQLite's write-ahead log first, whose file is made larger than it will get before its content is put in its place
    and it begins anew. What would only add to the data is refused then, and keeps that room for it.
    """

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> Database:
        """Connect, and create or upgrade the tables; PlatformError in one sentence when that cannot be."""
        parsed = _parsed(url)
        file = Path(parsed.database or "")
        room = _SET_ASIDE if _free(file.parent) > 64 * _SET_ASIDE else _LITTLE
        database = cls(_engine(parsed, room), file.parent)
        try:
            _try(parsed)
            async with database.write() as conn:
                await conn.run_sync(bring_up_to_date)
            await asyncio.to_thread(_set_aside, Path(f"{file}-wal"), room)
        except (SQLAlchemyError, sqlite3.Error, ServerNotAvailable, OSError) as exc:
            await database.close()
            kind = Unusable if _is_io(exc) else PlatformError
            raise kind(f"Cannot use the database {parsed.database or ''}: {_reason(exc)}") from exc
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Let go of all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent state; keep it short, a long reader keeps the log of SQLite growing."""
        async with self._engine.connect() as conn:
            yield conn

    @asynccontextmanager
    async def write(self, *, adds: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block and only then durable; undone by an exception.

        Raises ServerNotAvailable on a full disk; with ``adds`` (more data, not other data) before it is quite full.
        """
        if adds and _free(self._folder) < _LITTLE:
            raise ServerNotAvailable(_FULL)
        async with self._writing, self._engine.connect() as conn:
            await conn.execution_options(**{_WRITES: True})
            try:
                async with conn.begin():
                    yield conn
            except DBAPIError as exc:
                if _is_full(exc):
                    raise ServerNotAvailable(_FULL) from exc
                raise


async def open_database(settings: Settings) -> Database:
    """The database of a platform: in its data folder unless the settings say otherwise."""
    return await Database.open(settings.database_url or sqlite_url(settings.data / "platform.db"))


def sqlite_url(path: object) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


def _parsed(url: str) -> URL:
    """The URL, for the one driver that we use; nothing but SQLite has been tried, so nothing else is taken."""
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise PlatformError(f"The database URL is of no use: {exc}") from exc
    if parsed.drivername not in ("sqlite", "sqlite+aiosqlite"):
        raise PlatformError(
            f"The database URL {parsed.render_as_string(hide_password=True)!r} is of no use: the platform keeps its"
            " data in SQLite, as in sqlite+aiosqlite:////folder/platform.db"
        )
    return parsed.set(drivername="sqlite+aiosqlite")


def _try(url: URL) -> None:
    """Fail here if it must be: the asynchronous driver would leave a thread behind that speaks to a closed loop."""
    with contextlib.closing(sqlite3.connect(url.database or "", timeout=_BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _free(folder: Path) -> int:
    """How many bytes the disk of a folder has left; where the folder is not there, that is said elsewhere."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return _SET_ASIDE


def _set_aside(log: Path, size: int) -> None:
    """Give SQLite's write-ahead log its disk space now; what is behind its last record SQLite does not look at."""
    if not hasattr(os, "posix_fallocate"):  # as on macOS
        return
    with contextlib.suppress(OSError), log.open("r+b") as file:  # where there is no room, there is none to keep
        os.posix_fallocate(file.fileno(), 0, size)


def _engine(url: URL, room: int) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
        try:
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.execute(f"PRAGMA wal_autocheckpoint={room // 2 // _PAGE}")
            cursor.close()
        except BaseException:
            connection.close()  # the pool does not have it yet, and its thread would live on
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _is_full(exc: DBAPIError) -> bool:
    return getattr(exc.orig, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


def _is_io(exc: BaseException) -> bool:
    """Whether it is the file system that refuses, and not what is in the file."""
    cause = exc.orig if isinstance(exc, DBAPIError) else exc
    return isinstance(cause, OSError | ServerNotAvailable | sqlite3.OperationalError)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, DBAPIError) and exc.orig is not None:
        return str(exc.orig)
    return str(exc)
