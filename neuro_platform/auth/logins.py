"""How a login becomes a pair of tokens and stays one: browser, codes, the local key, refresh, revocation."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.auth.oauth import AuthorizationRequest, OAuthError, same_redirect, verifies
from neuro_platform.auth.passwords import Passwords
from neuro_platform.auth.sessions import Sessions, begin
from neuro_platform.auth.throttle import Throttle
from neuro_platform.auth.tokens import Signer
from neuro_platform.store import users as store
from neuro_platform.store.database import Database
from neuro_platform.store.users import Code, Kind, Session
from neuro_sdk.errors import AuthenticationError

ACCESS_LIFE: Final = timedelta(hours=1)
CODE_LIFE: Final = timedelta(seconds=60)
PASTED_CODE_LIFE: Final = timedelta(minutes=5)  # a person carries it from one window to another
BROWSER_LIFE: Final = timedelta(hours=24)
GRACE: Final = timedelta(seconds=60)  # a refresh whose answer was lost, or two at once, can be made again
# A login that is used lasts for ever, as clients know it: they refresh within hours of being used. One that nobody uses
# for so long sits on a machine that was given away or forgotten, where it is only a danger.
IDLE_LIFE: Final = timedelta(days=90)
_PROLONG: Final = timedelta(days=1)  # not at every use: clients that keep their refresh token cost no write then

_AGAIN: Final = "run `neuro login`"


@dataclass(frozen=True)
class Grant:
    """What a client gets for its code, its key or its refresh token."""

    access_token: str
    expires_in: int
    refresh_token: str


class Logins:
    """Everything between a person at the door and a client with tokens."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        signer: Signer,
        *,
        key: str,
        passwords: Passwords,
        throttle: Throttle,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._signer = signer
        self._key = key.encode("ascii")
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock

    async def by_password(self, name: str, password: str, *, address: str) -> str:
        """The user's name when the password fits; AuthenticationError, or TooManyTries with the time to wait."""
        self._throttle.enter(name, address)
        async with self._database.read() as conn:
            account = await store.find_user(conn, name)
        if not await self._passwords.check(account.password_hash if account else None, password):
            raise AuthenticationError("The user name or the password is wrong")
        self._throttle.passed(name, address)
        return name

    async def any_password(self) -> bool:
        """Whether there is anybody whom the login page could let in."""
        async with self._database.read() as conn:
            return await store.any_password(conn)

    async def remember_browser(self, user: str) -> str:
        """A secret for the browser's cookie, by which it is known for a day."""
        now, secret = self._clock(), _opaque()
        async with self._database.write() as conn:
            await store.drop_expired_sessions(conn, Kind.BROWSER, now)
            session = await begin(conn, user, Kind.BROWSER, now, expires_at=now + BROWSER_LIFE)
            await store.add_secret(conn, secret, session.id)
        return secret

    async def browser_user(self, secret: str) -> str | None:
        """Whose browser has this cookie."""
        session = await self.browser_session(secret)
        return None if session is None else session.user

    async def browser_session(self, secret: str) -> Session | None:
        """The session of the browser that has this cookie."""
        async with self._database.read() as conn:
            found = await store.find_secret(conn, secret)
        if found is None or found.session.kind is not Kind.BROWSER:
            return None
        expires_at = found.session.expires_at
        return found.session if expires_at is not None and self._clock() < expires_at else None

    async def forget_browser(self, secret: str) -> None:
        """End the browser's session; an unknown cookie is no error."""
        async with self._database.write() as conn:
            found = await store.find_secret(conn, secret)
            if found is not None and found.session.kind is Kind.BROWSER:
                await store.end_session(conn, found.session.id)

    def form_token(self, nonce: str) -> str:
        """What a form must carry to prove that it came from a page of ours, shown to the browser with this nonce."""
        return hmac.new(self._key, f"form:{nonce}".encode(), hashlib.sha256).hexdigest()

    async def code(self, user: str, request: AuthorizationRequest) -> str:
        """A code for the client that made the request, good once and for a short time."""
        now, code = self._clock(), _opaque()
        life = PASTED_CODE_LIFE if request.headless else CODE_LIFE
        entry = Code(user, request.challenge, str(request.redirect_uri), now + life)
        async with self._database.write() as conn:
            await store.add_code(conn, code, entry, now)
        return code

    async def redeem(self, code: str, *, verifier: str, redirect_uri: str) -> Grant:
        """Exchange a code for tokens, once. A code used twice was stolen by one of the two: both lose their tokens."""
        now = self._clock()
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                entry = await store.find_code(conn, code)
                fresh = entry is not None and entry.session is None and now < entry.expires_at
                if entry is not None and entry.session is not None:
                    await store.end_session(conn, entry.session)
                    announce()
                if entry is not None and fresh:
                    fits = verifies(verifier, entry.challenge) and same_redirect(redirect_uri, entry.redirect_uri)
                    # a code shown with the wrong proof is spent too: it is in the wrong hands
                    until = now + IDLE_LIFE
                    session = await begin(conn, entry.user, Kind.LOGIN, now, expires_at=until) if fits else None
                    await store.spend_code(conn, code, session.id if session else "-")
                    if session is not None:
                        return await self._grant(conn, session, now)
        if entry is None:
            raise OAuthError(
                "invalid_grant", f"The code is not one of this platform: {_AGAIN} again and copy all of it"
            )
        if entry.session is not None:
            raise OAuthError("invalid_grant", f"The code was used already, which ends that login: {_AGAIN} again")
        if not fresh:
            raise OAuthError("invalid_grant", f"The code has expired: {_AGAIN} again")
        raise OAuthError("invalid_grant", f"The code was issued to another login: {_AGAIN} again")

    async def start(self, user: str, kind: Kind) -> Grant:
        """Tokens for a user who has proved to be one in another way."""
        now = self._clock()
        async with self._database.write() as conn:
            return await self._grant(conn, await begin(conn, user, kind, now, expires_at=now + IDLE_LIFE), now)

    async def refresh(self, secret: str, *, rotate: bool) -> Grant:
        """A new access token, and with ``rotate`` a new refresh token in place of the old one.

        The old one stays good for :data:`GRACE`. Shown later, it was copied: the session ends for everybody.
        """
        now = self._clock()
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                found = await store.find_secret(conn, secret)
                good = found is not None and found.session.kind in (Kind.LOGIN, Kind.LOCAL)
                expires_at = found.session.expires_at if found is not None and good else None
                idle = expires_at is not None and expires_at <= now
                copied = found is not None and found.replaced_at is not None and now - found.replaced_at > GRACE
                if found is not None and good and (copied or idle):
                    await store.end_session(conn, found.session.id)
                    announce()
                elif found is not None and good:
                    session = found.session
                    if expires_at is None or now + IDLE_LIFE - expires_at >= _PROLONG:
                        await store.prolong_session(conn, session.id, now + IDLE_LIFE)
                    if not rotate:
                        return self._tokens(session, secret, now)
                    if found.replaced_at is None:
                        await store.replace_secret(conn, secret, now)
                        await store.drop_replaced_secrets(conn, session.id, now)
                    return await self._grant(conn, session, now)
        if idle:
            raise OAuthError(
                "invalid_grant", f"The login has expired, not being used for {IDLE_LIFE.days} days: {_AGAIN}"
            )
        if good and copied:
            raise OAuthError("invalid_grant", f"The refresh token was used already, which ends the login: {_AGAIN}")
        raise OAuthError("invalid_grant", f"The refresh token was revoked or is not one of this platform: {_AGAIN}")

    async def revoke(self, token: str) -> None:
        """End what the token stands on (RFC 7009): a refresh token and its access tokens go together.

        A token that means nothing here is no error, as the RFC has it.
        """
        try:
            session_id: str | None = self._signer.read(token).session
        except AuthenticationError:
            session_id = None
        with self._sessions.ending() as announce:
            async with self._database.write() as conn:
                if session_id is None:
                    found = await store.find_secret(conn, token)
                    login = found is not None and found.session.kind is not Kind.BROWSER
                    session_id = found.session.id if found is not None and login else None
                if session_id is not None and await store.end_session(conn, session_id):
                    announce()

    async def _grant(self, conn: AsyncConnection, session: Session, now: datetime) -> Grant:
        secret = _opaque()
        await store.add_secret(conn, secret, session.id)
        return self._tokens(session, secret, now)

    def _tokens(self, session: Session, refresh_token: str, now: datetime) -> Grant:
        token = self._signer.issue(session.user, session=session.id, now=now, expires_at=now + ACCESS_LIFE)
        return Grant(token, int(ACCESS_LIFE.total_seconds()), refresh_token)


def _opaque() -> str:
    return secrets.token_urlsafe(32)
