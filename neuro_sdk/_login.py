"""The ways to a token that need a person or a key file: browser, headless, local (API v1, chapter 4)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from yarl import URL

from neuro_sdk._oauth import Tokens, code_tokens, local_tokens, server_config
from neuro_sdk._transport import Transport, is_loopback
from neuro_sdk.errors import AuthError, ConfigError
from neuro_sdk.wire.cluster import AuthSettings

# Upstream waits one minute. A person who looks for a password, or for the phone with the second factor, takes longer.
DEADLINE: Final = 300.0

ShowBrowser = Callable[[URL], Awaitable[None]]
AskCode = Callable[[URL], Awaitable[str]]


class Challenge:
    """The secrets of one login: PKCE verifier (RFC 7636) and ``state``."""

    def __init__(self) -> None:
        self.verifier = _base64url(secrets.token_bytes(32))
        self.state = _base64url(secrets.token_bytes(24))

    def url(self, auth: AuthSettings, redirect_uri: URL | str) -> URL:
        """The page on which to log in."""
        return auth.auth_url.with_query(
            response_type="code",
            code_challenge=_base64url(hashlib.sha256(self.verifier.encode()).digest()),
            code_challenge_method="S256",
            client_id=auth.client_id,
            redirect_uri=str(redirect_uri),
            scope="offline_access",
            audience=auth.audience,
            state=self.state,
        )


async def browser_tokens(transport: Transport, url: URL, show_browser: ShowBrowser) -> Tokens:
    """Let the user log in on the platform's page; the browser brings the code back to a port of this machine.

    An answer with a wrong ``state`` is refused, and the wait goes on. Our own servers send ``state`` back, so there it
    is required. Other servers may drop it against RFC 6749: then an answer without it is tried when none with it
    comes, which is safe, because a code that belongs to somebody else's login does not fit our PKCE verifier; when it
    does not, the wait goes on as well.
    """
    from neuro_sdk._callback import Callback  # a web server, that nothing but a login needs

    config = await server_config(transport, url)
    auth, challenge = config.auth, Challenge()
    deadline = time.monotonic() + DEADLINE
    failure = AuthError(f"failed to get an authorization code: nobody logged in within {DEADLINE / 60:.0f} minutes")
    async with Callback(
        auth.callback_urls,
        state=challenge.state,
        success=auth.success_redirect_url,
        state_required=bool(config.features),
    ) as callback:
        redirect_uri = str(callback.url).rstrip("/")  # as it is registered: without a path
        await show_browser(challenge.url(auth, redirect_uri))
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    answer = await callback.answer()
            except TimeoutError:
                raise failure from None
            try:
                if answer.error:
                    raise AuthError(answer.error)
                return await code_tokens(
                    transport, auth, code=answer.code, verifier=challenge.verifier, redirect_uri=redirect_uri
                )
            except AuthError as exc:
                if answer.proven:
                    raise
                failure = exc


async def headless_tokens(transport: Transport, url: URL, ask_code: AskCode) -> Tokens:
    """Let the user log in anywhere and bring the code back by hand; the whole URL of the last page will do as well."""
    auth, challenge = (await server_config(transport, url)).auth, Challenge()
    redirect_uri = auth.headless_callback_url
    try:
        async with asyncio.timeout(DEADLINE) as waiting:
            pasted = (await ask_code(challenge.url(auth, redirect_uri))).strip()
    except TimeoutError:
        if not waiting.expired():
            raise
        raise AuthError(f"failed to get an authorization code within {DEADLINE / 60:.0f} minutes") from None
    code = _code_in(pasted, challenge.state)
    return await code_tokens(transport, auth, code=code, verifier=challenge.verifier, redirect_uri=redirect_uri)


async def local_login_tokens(transport: Transport, url: URL, key_file: Path) -> Tokens:
    """Log in to the platform of this machine by its key, which only its owner can read."""
    if not is_loopback(url):
        raise AuthError(f"{url} is not on this machine: the key of the local platform is not sent there")
    key = _key(key_file)
    auth = (await server_config(transport, url)).auth
    if auth.token_url.origin() != url.origin():
        raise AuthError(f"{url} wants the key of the local platform to be sent to {auth.token_url.origin()}")
    return await local_tokens(transport, auth, key)


def _key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as exc:
        raise ConfigError(f"Cannot read the key of the local platform in {file}: {exc.strerror}") from exc


def _code_in(pasted: str, state: str) -> str:
    code = pasted
    if "://" in pasted:
        query = URL(pasted).query
        if query.get("state", state) != state:
            raise AuthError("This is the address of another login: open the one that was shown last")
        code = query.get("code", "")
    if not code:
        raise AuthError("failed to get an authorization code: nothing was entered")
    return code


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
