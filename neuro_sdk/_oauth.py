"""What a platform is asked about logins: its ``/config``, and its token endpoint (API v1, chapters 3 and 4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from neuro_sdk._transport import ConnectionLost, Transport, place
from neuro_sdk.errors import AuthenticationError, AuthError, IllegalArgumentError, NotAPlatform
from neuro_sdk.wire.cluster import AuthSettings, ServerConfig, read_server_config
from neuro_sdk.wire.codec import Model, decode, load

log = logging.getLogger(__name__)

LOCAL_GRANT: Final = "urn:neuro:grant:local"
LIFE_USED: Final = 0.75  # of a token's life; the rest is for clocks and long requests
REVOKE_DEADLINE: Final = 3.0
_LONGEST_CONFIG: Final = 8 * 2**20


class Tokens(Model, frozen=True):
    """An answer of the token endpoint."""

    access_token: str
    expires_in: float  # seconds
    refresh_token: str = ""

    @property
    def expires(self) -> float:
        """When to ask for the next one, in epoch seconds."""
        return time.time() + LIFE_USED * self.expires_in


async def server_config(transport: Transport, url: URL, token: str | None = None) -> ServerConfig:
    """Ask a platform what it is; :class:`NotAPlatform` when the answer is not a platform's."""
    if url.scheme not in ("http", "https") or not url.host:
        raise IllegalArgumentError(f"{str(url)!r} is not the address of a platform: http:// or https:// and a host")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise IllegalArgumentError("The address of a platform has no user, password, query or fragment")
    where = url / "config"
    headers = {"Authorization": f"Bearer {token}"} if token is not None else None
    try:
        async with transport.request("GET", where, headers=headers) as response:
            body = await _read(response)
            status, landed = response.status, response.url
    except aiohttp.ClientResponseError as exc:
        if isinstance(exc, aiohttp.ClientHttpProxyError):
            raise
        raise NotAPlatform(f"What answers at {place(url)} does not speak HTTP as expected: {exc.message}") from exc
    if landed.origin() != where.origin():
        raise NotAPlatform(f"{url} sends us to {place(landed)}: log in with the address that it should be")
    if token is not None and status in (401, 403):
        raise AuthError(f"The platform at {url} does not accept this token: it is wrong, expired or revoked")
    if status != 200:
        hint = "is the path right? It mostly ends in /api/v1" if status == 404 else "it is no Neuro platform, or broken"
        raise NotAPlatform(f"Unable to get server configuration: {status} from {where}; {hint}")
    try:
        config = read_server_config(body)
    except IllegalArgumentError as exc:
        what = "a web page" if body.lstrip()[:1] == b"<" else f"something else ({exc})"
        raise NotAPlatform(f"{url} is no Neuro platform: {where} is {what}") from exc
    for endpoint in (config.auth.auth_url, config.auth.token_url, config.auth.headless_callback_url):
        if endpoint.scheme not in ("http", "https"):
            raise NotAPlatform(f"{url} names {str(endpoint)!r} for logging in, which is not an http(s) address")
    return config


async def authorized_config(transport: Transport, url: URL, token: str) -> ServerConfig:
    """The same, for somebody: with clusters, or :class:`AuthError` when the token is not honoured."""
    config = await server_config(transport, url, token)
    if not config.clusters:
        raise AuthError(
            f"The platform at {url} does not honour this token: it is wrong, expired or revoked, or its user has no "
            "cluster"
        )
    return config


async def code_tokens(
    transport: Transport, auth: AuthSettings, *, code: str, verifier: str, redirect_uri: URL | str
) -> Tokens:
    """Exchange an authorization code; it is good for one attempt."""
    return await _tokens(
        transport,
        auth,
        {
            "grant_type": "authorization_code",
            "code_verifier": verifier,
            "code": code,
            "client_id": auth.client_id,
            "redirect_uri": str(redirect_uri),
        },
    )


async def local_tokens(transport: Transport, auth: AuthSettings, key: str) -> Tokens:
    """Prove to the platform of this machine that we may read its key."""
    return await _tokens(transport, auth, {"grant_type": LOCAL_GRANT, "local_key": key, "client_id": auth.client_id})


async def refreshed_tokens(transport: Transport, auth: AuthSettings, refresh_token: str) -> Tokens:
    """Exchange a refresh token; where the server sends no new one, the old one stays."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": auth.client_id}
    for pause in (0.1, 0.5, None):
        try:
            tokens = await _tokens(transport, auth, form)
            break
        except ConnectionLost:  # the same token may be sent again: servers that rotate allow it for a moment
            if pause is None:
                raise
            await asyncio.sleep(pause)
    return Tokens(tokens.access_token, tokens.expires_in, tokens.refresh_token or refresh_token)


async def revoke(transport: Transport, config: ServerConfig, refresh_token: str) -> None:
    """Ask a server of ours to forget a login; what fails is not worth keeping anybody from logging out."""
    if not config.features or not refresh_token:  # the path is ours, other servers have other ways
        return
    form = {
        "token": refresh_token,
        "token_type_hint": "refresh_token",
        "client_id": config.auth.client_id,
    }
    try:
        async with asyncio.timeout(REVOKE_DEADLINE):
            async with transport.request("POST", config.auth.token_url.with_name("revoke"), data=form) as response:
                await response.read()
    except (aiohttp.ClientError, TimeoutError) as exc:
        log.debug("The platform was not told of the logout: %s", exc)


async def _tokens(transport: Transport, auth: AuthSettings, form: Mapping[str, str]) -> Tokens:
    headers = {"Accept": "application/json"}
    async with transport.request("POST", auth.token_url, headers=headers, data=dict(form)) as response:
        body = await _read(response)
        status = response.status
    if status >= 300:
        reason = _reason(body) or f"{place(auth.token_url)} answered {status}"
        kind = AuthenticationError if form["grant_type"] == "refresh_token" and status in (400, 401, 403) else AuthError
        hint = ". Log in again (neuro login)" if kind is AuthenticationError else ""
        raise kind(f"failed to get an access token. {reason}{hint}")
    try:
        return decode(body, Tokens)
    except IllegalArgumentError as exc:
        raise AuthError(f"failed to get an access token. {place(auth.token_url)} sent something else: {exc}") from exc


def _reason(body: bytes) -> str:
    """The sentence in an error reply of OAuth 2 (RFC 6749, 5.2), or in one of ours."""
    with contextlib.suppress(IllegalArgumentError):
        document = load(body)
        if isinstance(document, dict):
            text = str(document.get("error_description") or document.get("error") or "")
            return text.rstrip(".")
    return ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(_LONGEST_CONFIG)
    while len(body) < _LONGEST_CONFIG and (more := await response.content.read(_LONGEST_CONFIG - len(body))):
        body += more
    return body
