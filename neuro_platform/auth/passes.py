"""Letting a browser in to what a job publishes: a code carries a login to the job's address, a pass keeps it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from neuro_platform.auth.sessions import Sessions
from neuro_platform.auth.tokens import Claims, Signer
from neuro_platform.store import users as store
from neuro_platform.store.database import Database
from neuro_sdk.errors import AuthenticationError

CODE_LIFE: Final = timedelta(seconds=60)
SHOWN_CODE_LIFE: Final = timedelta(minutes=5)  # a person carries it from a terminal to a browser
PASS_LIFE: Final = timedelta(days=7)  # at most: it ends with the login that it was made from
_MOST: Final = 4096  # codes that wait to be used


@dataclass(frozen=True)
class Entry:
    """What a code stands for."""

    user: str
    session: str
    label: str  # of the job's address: nowhere else is the code good
    path: str  # where to go with it
    expires_at: datetime


class Passes:
    """Codes, once each and for a short time; and passes, which are access tokens with a job's address for audience.

    Codes are in memory: a restart of the platform costs another click.
    """

    def __init__(self, database: Database, sessions: Sessions, signer: Signer, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._sessions = sessions
        self._signer = signer
        self._clock = clock
        self._codes: dict[str, Entry] = {}  # oldest first

    def code(self, user: str, session: str, label: str, *, path: str = "/", life: timedelta = CODE_LIFE) -> str:
        """A code for a user known by a session, good once at the address that has this label."""
        now, code = self._clock(), secrets.token_urlsafe(32)
        self._codes = {key: entry for key, entry in self._codes.items() if now < entry.expires_at}
        while len(self._codes) >= _MOST:
            del self._codes[next(iter(self._codes))]
        self._codes[code] = Entry(user, session, label, path, now + life)
        return code

    def redeem(self, code: str, label: str) -> Entry | None:
        """What the code stands for, if it is good here and now; whatever comes of it, it is spent."""
        entry = self._codes.pop(code, None)
        return entry if entry is not None and entry.label == label and self._clock() < entry.expires_at else None

    async def issue(self, entry: Entry) -> tuple[str, datetime] | None:
        """A pass, and until when it is good; None when the login has ended meanwhile."""
        now = self._clock()
        async with self._database.read() as conn:
            session = await store.find_session(conn, entry.session)
        if session is None or session.user != entry.user:
            return None
        until = min(now + PASS_LIFE, session.expires_at or now + PASS_LIFE)
        pass_ = self._signer.issue(
            entry.user, session=session.id, now=now, expires_at=until, audience=_audience(entry.label)
        )
        return pass_, until

    async def holder(self, pass_: str, label: str) -> Claims | None:
        """Whose pass this is, by which login; None when it is not one for this label, or not any more."""
        try:
            claims = self._signer.read(pass_, audience=_audience(label))
        except AuthenticationError:
            return None
        if claims.expires_at <= self._clock() or await self._sessions.user(claims.session) != claims.identity:
            return None
        return claims


def _audience(label: str) -> str:
    return f"neuro-job:{label}"
