"""Who may come in: users, their sessions, and the hashes of the opaque secrets that lead to a session."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.store.schema import codes, sessions, tokens, users
from neuro_platform.store.times import microseconds, time_of
from neuro_sdk.wire.names import is_utf8

_REMEMBER_CODES: Final = timedelta(days=1)  # spent or expired, to notice when one is used again
_REMEMBER_REPLACED: Final = timedelta(days=30)  # secrets that have a successor, to notice the same


class Kind(enum.Enum):
    """What a session came from; only some kinds may do some things."""

    LOGIN = "login"  # a password, and a code for it
    LOCAL = "local"  # the local key
    BROWSER = "browser"  # the cookie of the login page
    PERSONAL = "personal"  # a token that its user made
    JOB = "job"  # the token in a job's environment


@dataclass(frozen=True)
class Account:
    """A user as stored."""

    name: str
    password_hash: str | None
    created_at: datetime


@dataclass(frozen=True)
class Session:
    """What a credential stands on: when it ends, all its credentials do."""

    id: str
    user: str
    kind: Kind
    label: str | None
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Secret:
    """An opaque secret that was found by its hash."""

    session: Session
    replaced_at: datetime | None


@dataclass(frozen=True)
class Code:
    """An authorization code that was found by its hash."""

    user: str
    challenge: str
    redirect_uri: str
    expires_at: datetime
    session: str | None = None


def hash_of(secret: str) -> str:
    """What is stored of an opaque secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


async def add_user(conn: AsyncConnection, account: Account) -> None:
    """Store a new user."""
    await conn.execute(
        insert(users).values(
            name=account.name, password_hash=account.password_hash, created_us=microseconds(account.created_at)
        )
    )


async def find_user(conn: AsyncConnection, name: str) -> Account | None:
    """The user of that name."""
    if not _is_storable(name):
        return None
    row = (await conn.execute(select(users).where(users.c.name == name))).one_or_none()
    return _account(row) if row is not None else None


async def list_users(conn: AsyncConnection) -> list[Account]:
    """Everybody, by name."""
    return [_account(row) for row in await conn.execute(select(users).order_by(users.c.name))]


async def any_password(conn: AsyncConnection) -> bool:
    """Whether anybody can log in with a password."""
    query = select(users.c.name).where(users.c.password_hash.is_not(None)).limit(1)
    return (await conn.execute(query)).one_or_none() is not None


async def set_password(conn: AsyncConnection, name: str, password_hash: str) -> None:
    """Replace the user's password."""
    await conn.execute(update(users).where(users.c.name == name).values(password_hash=password_hash))


async def remove_user(conn: AsyncConnection, name: str) -> bool:
    """Remove the user with all sessions; False when there was none."""
    return _is_storable(name) and bool((await conn.execute(delete(users).where(users.c.name == name))).rowcount)


async def add_session(conn: AsyncConnection, session: Session) -> None:
    """Store a new session."""
    await conn.execute(
        insert(sessions).values(
            id=session.id,
            user_name=session.user,
            kind=session.kind.value,
            label=session.label,
            created_us=microseconds(session.created_at),
            expires_us=None if session.expires_at is None else microseconds(session.expires_at),
        )
    )


async def find_session(conn: AsyncConnection, session_id: str) -> Session | None:
    """The session, also one past its time."""
    if not _is_storable(session_id):
        return None
    row = (await conn.execute(select(sessions).where(sessions.c.id == session_id))).one_or_none()
    return _session(row) if row is not None else None


async def list_sessions(conn: AsyncConnection, kind: Kind, user: str | None = None) -> list[Session]:
    """Sessions of a kind, oldest first, of one user or of all."""
    query = select(sessions).where(sessions.c.kind == kind.value).order_by(sessions.c.created_us, sessions.c.id)
    if user is not None and not _is_storable(user):
        return []
    if user is not None:
        query = query.where(sessions.c.user_name == user)
    return [_session(row) for row in await conn.execute(query)]


async def end_session(conn: AsyncConnection, session_id: str) -> bool:
    """Remove the session and the secrets that lead to it; False when there was none."""
    return bool((await conn.execute(delete(sessions).where(sessions.c.id == session_id))).rowcount)


async def end_sessions(conn: AsyncConnection, user: str, kinds: Collection[Kind]) -> None:
    """Remove the user's sessions of these kinds."""
    wanted = sessions.c.kind.in_([kind.value for kind in kinds])
    await conn.execute(delete(sessions).where(sessions.c.user_name == user, wanted))


async def drop_expired_sessions(conn: AsyncConnection, kind: Kind, now: datetime) -> None:
    """Remove sessions of a kind that are past their time."""
    await conn.execute(
        delete(sessions).where(sessions.c.kind == kind.value, sessions.c.expires_us <= microseconds(now))
    )


async def prolong_session(conn: AsyncConnection, session_id: str, until: datetime) -> None:
    """Let the session live longer."""
    await conn.execute(update(sessions).where(sessions.c.id == session_id).values(expires_us=microseconds(until)))


async def drop_useless(conn: AsyncConnection, now: datetime, first_expiry: datetime) -> None:
    """Remove all that is past its time; logins that an older version stored without an end get their first."""
    logins = sessions.c.kind.in_([Kind.LOGIN.value, Kind.LOCAL.value])
    endless = update(sessions).where(logins, sessions.c.expires_us.is_(None))
    await conn.execute(endless.values(expires_us=microseconds(first_expiry)))
    await conn.execute(delete(sessions).where(sessions.c.expires_us <= microseconds(now)))
    await conn.execute(delete(tokens).where(tokens.c.replaced_us < microseconds(now - _REMEMBER_REPLACED)))
    await conn.execute(delete(codes).where(codes.c.expires_us < microseconds(now - _REMEMBER_CODES)))


async def add_secret(conn: AsyncConnection, secret: str, session_id: str) -> None:
    """Let an opaque secret lead to the session."""
    await conn.execute(insert(tokens).values(hash=hash_of(secret), session=session_id))


async def find_secret(conn: AsyncConnection, secret: str) -> Secret | None:
    """Where the secret leads."""
    query = select(tokens.c.replaced_us, sessions).join(sessions).where(tokens.c.hash == hash_of(secret))
    row = (await conn.execute(query)).one_or_none()
    return Secret(_session(row), _time_or_none(row.replaced_us)) if row is not None else None


async def replace_secret(conn: AsyncConnection, secret: str, now: datetime) -> None:
    """Note that the secret has a successor since now."""
    await conn.execute(update(tokens).where(tokens.c.hash == hash_of(secret)).values(replaced_us=microseconds(now)))


async def drop_replaced_secrets(conn: AsyncConnection, session_id: str, now: datetime) -> None:
    """Remove secrets of the session that were replaced long ago."""
    before = microseconds(now - _REMEMBER_REPLACED)
    await conn.execute(delete(tokens).where(tokens.c.session == session_id, tokens.c.replaced_us < before))


async def add_code(conn: AsyncConnection, code: str, entry: Code, now: datetime) -> None:
    """Store a new code, and drop those that are of no use any more."""
    await conn.execute(delete(codes).where(codes.c.expires_us < microseconds(now - _REMEMBER_CODES)))
    await conn.execute(
        insert(codes).values(
            hash=hash_of(code),
            user_name=entry.user,
            challenge=entry.challenge,
            redirect_uri=entry.redirect_uri,
            expires_us=microseconds(entry.expires_at),
        )
    )


async def find_code(conn: AsyncConnection, code: str) -> Code | None:
    """The code, also when it is spent or past its time."""
    row = (await conn.execute(select(codes).where(codes.c.hash == hash_of(code)))).one_or_none()
    return Code(row.user_name, row.challenge, row.redirect_uri, time_of(row.expires_us), row.session) if row else None


async def spend_code(conn: AsyncConnection, code: str, session_id: str) -> None:
    """Note what the code was exchanged for."""
    await conn.execute(update(codes).where(codes.c.hash == hash_of(code)).values(session=session_id))


def _is_storable(text: str) -> bool:
    """Whether a database takes the text; none has what it does not take, and asking would be an error."""
    return "\0" not in text and is_utf8(text)


def _account(row: Row[Any]) -> Account:
    return Account(row.name, row.password_hash, time_of(row.created_us))


def _session(row: Row[Any]) -> Session:
    return Session(
        row.id, row.user_name, Kind(row.kind), row.label, time_of(row.created_us), _time_or_none(row.expires_us)
    )


def _time_or_none(us: int | None) -> datetime | None:
    return None if us is None else time_of(us)
