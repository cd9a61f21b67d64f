"""Which sessions live: what every credential is checked against, at every request."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.store import users as store
from neuro_platform.store.database import Database
from neuro_platform.store.users import Kind, Session

_MOST: Final = 1024  # remembered; a request with one that is not costs a look into the database


class Sessions:
    """Remembers in memory whose session is whose.

    The memory is always right, also when another process (`neuro platform token revoke`) ends a session: every
    process that takes something away makes a file one byte longer before it commits, and what was remembered at another
    length of it counts for nothing. Until it has committed, or died, it holds a lock on the file, and nothing new is
    remembered meanwhile: so there is no moment at which its death could leave something wrong behind.
    """

    def __init__(self, database: Database, revision: Path) -> None:
        self._database = database
        self._revision = revision
        self._known: dict[str, tuple[int, str]] = {}
        with revision.open("ab"):  # there from now on, so that its length can be asked for
            revision.chmod(0o600)

    async def user(self, session_id: str) -> str | None:
        """Whose session this is; None when it has ended or never was."""
        match self._known.get(session_id):
            case (seen, user) if seen == self._revision.stat().st_size:
                return user
        length = self._length()  # asked before the database: what ends meanwhile makes this entry a stale one
        async with self._database.read() as conn:
            session = await store.find_session(conn, session_id)
        if session is None or length is None:
            self._known.pop(session_id, None)
            return session.user if session is not None else None
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[session_id] = (length, session.user)
        return session.user

    @contextmanager
    def ending(self) -> Iterator[Callable[[], None]]:
        """To be around every transaction that may end a session; when it does, call what this gives before the commit.

        An ``OSError`` then, as from a full disk, undoes the transaction.
        """
        with ExitStack() as stack:

            def announce() -> None:
                file = stack.enter_context(self._revision.open("ab", buffering=0))
                fcntl.flock(file, fcntl.LOCK_SH)  # shared: several may end sessions; it waits for no longer than a look
                file.write(b".")

            yield announce

    def _length(self) -> int | None:
        """How long the file is; ``None`` while somebody is ending sessions."""
        with self._revision.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return os.fstat(file.fileno()).st_size


async def begin(
    conn: AsyncConnection,
    user: str,
    kind: Kind,
    now: datetime,
    *,
    session_id: str | None = None,
    label: str | None = None,
    expires_at: datetime | None = None,
) -> Session:
    """Store a new session within a transaction."""
    chosen = session_id or f"{kind.value}-{secrets.token_hex(8)}"
    session = Session(chosen, user, kind, label, now, expires_at)
    await store.add_session(conn, session)
    return session
