"""The rules of OAuth 2 that we hold clients to: PKCE, where a code may be sent, how errors are spelled."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from yarl import URL

from neuro_platform.auth.tokens import AUDIENCE
from neuro_sdk.errors import AuthError

CLIENT_ID: Final = "neuro"
GRANT_LOCAL: Final = "urn:neuro:grant:local"
SHOW_CODE: Final = "/oauth/show-code"

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1
_STATE: Final = re.compile(r"[\x20-\x7e]{0,1024}")


class OAuthError(AuthError):
    """A refusal in the words of RFC 6749: ``error`` is for the client, the text is for people."""

    status = 400

    def __init__(self, error: str, description: str) -> None:
        self.error = error
        super().__init__(description)


@dataclass(frozen=True)
class AuthorizationRequest:
    """A client asks for a code: checked, but for who the user is."""

    redirect_uri: URL
    challenge: str
    state: str | None
    headless: bool

    def back(self, **answer: str) -> URL:
        """Where to send the browser with a code or an error; ``state`` goes back as it came."""
        if self.state is not None:
            answer["state"] = self.state
        return self.redirect_uri.with_query(answer)


def check_client(form: Mapping[str, str]) -> None:
    """Refuse another client's id. It is no secret and proves nothing, but it tells of a client set up for elsewhere."""
    if form.get("client_id", CLIENT_ID) != CLIENT_ID:
        raise OAuthError("invalid_client", f"The client_id must be {CLIENT_ID!r}, as the platform's /config says")


def redirect_of(query: Mapping[str, str], origins: frozenset[URL]) -> URL:
    """The request's ``redirect_uri`` when it is fit to be one; refusals of this must never be sent *to* it.

    Fit are http on this machine's loopback, on any port (RFC 8252, 7.3), and the page of ours that shows the code,
    at one of the platform's ``origins``.
    """
    if "client_id" not in query:
        raise OAuthError("invalid_request", "The client_id is missing")
    check_client(query)
    try:
        uri = URL(query.get("redirect_uri", ""))
        origin = uri.origin()
    except ValueError as exc:
        raise OAuthError("invalid_request", "The redirect_uri is not a URL") from exc
    if uri.user is None and uri.password is None and not uri.query_string and not uri.fragment:
        if uri.scheme == "http" and uri.host in _LOOPBACK and uri.path == "/":
            return uri
        if uri.path.rstrip("/") == SHOW_CODE and origin in origins:
            return uri
    raise OAuthError("invalid_request", "The redirect_uri must be http://127.0.0.1:PORT or the platform's headless URL")


def authorization_request(query: Mapping[str, str], redirect_uri: URL) -> AuthorizationRequest:
    """Check the rest of the request; refusals may be sent to ``redirect_uri``."""
    if query.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "The response_type must be 'code'")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        raise OAuthError("invalid_request", "PKCE is needed: a code_challenge with code_challenge_method=S256")
    if query.get("audience", AUDIENCE) != AUDIENCE:
        raise OAuthError("invalid_request", f"The audience must be {AUDIENCE!r}, as the platform's /config says")
    return AuthorizationRequest(
        redirect_uri, query["code_challenge"], state_of(query), redirect_uri.path.rstrip("/") == SHOW_CODE
    )


def state_of(query: Mapping[str, str]) -> str | None:
    """The ``state`` to pass through; one that is no printable text is refused."""
    state = query.get("state")
    if state is not None and not _STATE.fullmatch(state):
        raise OAuthError("invalid_request", "The state must be at most 1024 printable ASCII characters")
    return state


def same_redirect(one: str, other: str) -> bool:
    """Whether two redirect URIs mean the same; clients differ about the slash at the end (API v1, 4.2)."""
    return one.rstrip("/") == other.rstrip("/")


def verifies(verifier: str, challenge: str) -> bool:
    """Whether the verifier is the one that the challenge was made from (RFC 7636, 4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    return hmac.compare_digest(challenge_of(verifier), challenge)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
