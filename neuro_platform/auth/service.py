"""Who are you: users, and the credentials by which a request shows whose it is."""

from __future__ import annotations

import hmac
import os
import pwd
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from neuro_platform.auth.logins import IDLE_LIFE, Grant, Logins
from neuro_platform.auth.oauth import OAuthError
from neuro_platform.auth.passes import Passes
from neuro_platform.auth.passwords import Passwords
from neuro_platform.auth.secret_files import secret
from neuro_platform.auth.sessions import Sessions, begin
from neuro_platform.auth.throttle import Throttle
from neuro_platform.auth.tokens import Signer
from neuro_platform.store import users as store
from neuro_platform.store.database import Database
from neuro_platform.store.jobs import Stop, stop_all
from neuro_platform.store.permissions import forget_user
from neuro_platform.store.users import Account, Kind
from neuro_sdk.errors import AuthenticationError, Conflict, IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.names import USER_NAME

LOCAL_KEY: Final = "local.key"  # beside the folder of keys: who can read it is the platform's own user
JOB_TOKEN_LIFE: Final = timedelta(days=400)
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


@dataclass(frozen=True)
class User:
    """Somebody whom the platform knows."""

    name: str
    session: str | None = field(default=None, compare=False)  # by which they were recognised, where it matters


@dataclass(frozen=True)
class Token:
    """A personal token, without the token itself: that is shown once, when it is made."""

    id: str
    user: str
    name: str
    created_at: datetime
    expires_at: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class Auth:
    """Users and their tokens; ``logins`` has what the login page and the OAuth endpoints need."""

    def __init__(
        self,
        database: Database,
        *,
        keys: Path,
        clock: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        key = secret(keys / "access-tokens.key")
        self._local_key = secret(keys.parent / LOCAL_KEY)
        self._database = database
        self._clock = clock
        self._signer = Signer(key)
        self._sessions = Sessions(database, keys / "revocations")
        self._passwords = Passwords()
        self.logins = Logins(
            database,
            self._sessions,
            self._signer,
            key=key,
            passwords=self._passwords,
            throttle=Throttle(monotonic),
            clock=clock,
        )
        self.passes = Passes(database, self._sessions, self._signer, clock)

    async def authenticate(self, token: str) -> User:
        """Whose token this is; AuthenticationError says whether it is malformed, expired or revoked."""
        claims = self._signer.read(token)
        if claims.expires_at <= self._clock():
            raise AuthenticationError(f"The token expired on {claims.expires_at:%Y-%m-%d %H:%M} UTC: run `neuro login`")
        if await self._sessions.user(claims.session) != claims.identity:
            raise AuthenticationError("The token was revoked, by a logout or by its owner: run `neuro login`")
        return User(claims.identity, claims.session)

    async def still_knows(self, user: User) -> bool:
        """Whether the login by which somebody was recognised goes on."""
        return user.session is None or await self._sessions.user(user.session) == user.name

    def is_token(self, text: str) -> bool:
        """Whether this is an access token of ours, good or not any more."""
        try:
            self._signer.read(text)
        except AuthenticationError:
            return False
        return True

    async def local_user(self) -> User:
        """The user of the account that runs the platform, made on first use."""
        name = fit_user_name(_account_name())
        async with self._database.write() as conn:
            if await store.find_user(conn, name) is None:
                await store.add_user(conn, Account(name, None, self._clock()))
        return User(name)

    async def local_grant(self, key: str) -> Grant:
        """Tokens for the local user, for whom can read the key in the data folder."""
        if not hmac.compare_digest(key.strip().encode("utf-8", "surrogatepass"), self._local_key.encode("ascii")):
            raise OAuthError("invalid_grant", "The local key is not that of this platform's data folder")
        return await self.logins.start((await self.local_user()).name, Kind.LOCAL)

    async def drop_useless(self) -> None:
        """Remove from the database all that has expired; to be called now and then."""
        now = self._clock()
        async with self._database.write() as conn:
            await store.drop_useless(conn, now, now + IDLE_LIFE)

    async def users(self) -> list[User]:
        """Everybody, by name."""
        async with self._database.read() as conn:
            return [User(account.name) for account in await store.list_users(conn)]

    async def add_user(self, name: str, password: str) -> User:
        """Let somebody log in with a password; also a user who had none, as one of the local login."""
        USER_NAME.check(name)
        password_hash = await self._passwords.hash(password)
        async with self._database.write() as conn:
            account = await store.find_user(conn, name)
            if account is not None and account.password_hash is not None:
                raise Conflict(
                    f"There is a user named {name!r} already: `neuro platform user passwd {name}` changes it"
                )
            if account is None:
                await store.add_user(conn, Account(name, password_hash, self._clock()))
            else:
                await store.set_password(conn, name, password_hash)
        return User(name)

    async def set_password(self, name: str, password: str) -> None:
        """Change a password; logins made with the old one end, tokens made by hand stay."""
        password_hash = await self._passwords.hash(password)
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                if await store.find_user(conn, name) is None:
                    raise _no_user(name)
                await store.set_password(conn, name, password_hash)
                await store.end_sessions(conn, name, (Kind.LOGIN, Kind.BROWSER))
                announce()

    async def remove_user(self, name: str) -> int:
        """Remove a user, whose credentials and permissions all end at once.

        Returns how many jobs of theirs are to be stopped for that.
        """
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                if not await store.remove_user(conn, name):
                    raise _no_user(name)
                announce()
                await forget_user(conn, name)
                # nobody else could: they are nobody's from now on
                return await stop_all(conn, name, Stop("UserRequested", "Its user was removed from the platform"))

    async def create_token(self, user: User, name: str, expires: datetime) -> str:
        """Make a personal token, for scripts and CI; what is returned is shown nowhere again."""
        now = self._clock()
        if not _LABEL.fullmatch(name):
            raise IllegalArgumentError("A token's name has 1 to 64 printable characters")
        if expires <= now:
            raise IllegalArgumentError(f"The token would expire in the past, on {expires:%Y-%m-%d %H:%M}")
        async with self._database.write() as conn:
            if await store.find_user(conn, user.name) is None:
                raise _no_user(user.name)
            await store.drop_expired_sessions(conn, Kind.PERSONAL, now)
            if any(old.label == name for old in await store.list_sessions(conn, Kind.PERSONAL, user.name)):
                raise Conflict(f"{user.name} has a token named {name!r} already: revoke it, or choose another name")
            session = await begin(conn, user.name, Kind.PERSONAL, now, label=name, expires_at=expires)
        return self._signer.issue(user.name, session=session.id, now=now, expires_at=expires)

    async def tokens(self, user: User | None = None) -> list[Token]:
        """The personal tokens of a user or of everybody that are still good, oldest first."""
        now = self._clock()
        async with self._database.read() as conn:
            found = await store.list_sessions(conn, Kind.PERSONAL, user.name if user is not None else None)
        return [
            Token(session.id, session.user, session.label or "", session.created_at, session.expires_at)
            for session in found
            if session.expires_at is not None and session.expires_at > now
        ]

    async def revoke_token(self, token_id: str) -> None:
        """End a personal token at once."""
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                session = await store.find_session(conn, token_id)
                if session is None or session.kind is not Kind.PERSONAL:
                    raise ResourceNotFound(f"No token with the id {token_id!r}: `neuro platform token ls` shows them")
                await store.end_session(conn, token_id)
                announce()

    async def job_token(self, user: User, job_id: str) -> str:
        """A token for the program of a job; asked for again, another one that ends together with the first."""
        now = self._clock()
        async with self._database.write() as conn:
            if await store.find_user(conn, user.name) is None:
                raise _no_user(user.name)
            if await store.find_session(conn, job_id) is None:
                await begin(conn, user.name, Kind.JOB, now, session_id=job_id)
        return self._signer.issue(user.name, session=job_id, now=now, expires_at=now + JOB_TOKEN_LIFE)

    async def end_job_token(self, job_id: str) -> None:
        """To be called when the job has ended. Twice is fine, and so is a job without a token."""
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                if await store.end_session(conn, job_id):
                    announce()


def fit_user_name(account: str) -> str:
    """The nearest name that :data:`~neuro_sdk.wire.names.USER_NAME` allows."""
    name = re.sub(r"[^a-z0-9]+", "-", account.lower()).strip("-")[: USER_NAME.longest].rstrip("-")
    if len(name) < USER_NAME.shortest:
        name = f"{name}-user".lstrip("-")
    return USER_NAME.check(name)


def _account_name() -> str:
    # not getpass.getuser(): that believes the environment
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in a container that runs with any user id
        return f"uid-{os.geteuid()}"


def _no_user(name: str) -> ResourceNotFound:
    return ResourceNotFound(f"No user named {name!r}: `neuro platform user add {name}` makes one")
